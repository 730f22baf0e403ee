// The product of two matrices, which is most of what a network computes: a convolution is one, too, once every patch of its
// input is a column.
asdlive.matrix = (function () {
  // weight (rows * depth,) times x (depth * columns,), plus bias (rows,) if there is one -> (rows * columns,). Four rows and four
  // columns at a time, so that each number that is read counts four times. Where fewer are left, the last one is taken again.
  function product(weight, x, depth, bias) {
    const rows = weight.length / depth, columns = x.length / depth, y = new Float32Array(rows * columns), four = new Float32Array(4 * depth);
    for (let column = 0; column < columns; column += 4) {
      const last = columns - 1, c0 = column, c1 = Math.min(c0 + 1, last), c2 = Math.min(c0 + 2, last), c3 = Math.min(c0 + 3, last);
      for (let d = 0, from = 0, to = 0; d < depth; d++, from += columns) {
        four[to++] = x[from + c0]; four[to++] = x[from + c1]; four[to++] = x[from + c2]; four[to++] = x[from + c3];
      }
      for (let row = 0; row < rows; row += 4) {
        const r0 = row, r1 = Math.min(row + 1, rows - 1), r2 = Math.min(row + 2, rows - 1), r3 = Math.min(row + 3, rows - 1);
        const w0 = r0 * depth, w1 = r1 * depth, w2 = r2 * depth, w3 = r3 * depth;
        let a0 = bias ? bias[r0] : 0, b0 = bias ? bias[r1] : 0, e0 = bias ? bias[r2] : 0, f0 = bias ? bias[r3] : 0;
        let a1 = a0, a2 = a0, a3 = a0, b1 = b0, b2 = b0, b3 = b0, e1 = e0, e2 = e0, e3 = e0, f1 = f0, f2 = f0, f3 = f0;
        for (let d = 0, i = 0; d < depth; d++, i += 4) {
          const p = four[i], q = four[i + 1], r = four[i + 2], s = four[i + 3];
          const a = weight[w0 + d], b = weight[w1 + d], e = weight[w2 + d], f = weight[w3 + d];
          a0 += a * p; a1 += a * q; a2 += a * r; a3 += a * s;
          b0 += b * p; b1 += b * q; b2 += b * r; b3 += b * s;
          e0 += e * p; e1 += e * q; e2 += e * r; e3 += e * s;
          f0 += f * p; f1 += f * q; f2 += f * r; f3 += f * s;
        }
        const y0 = r0 * columns, y1 = r1 * columns, y2 = r2 * columns, y3 = r3 * columns;
        y[y0 + c0] = a0; y[y0 + c1] = a1; y[y0 + c2] = a2; y[y0 + c3] = a3;
        y[y1 + c0] = b0; y[y1 + c1] = b1; y[y1 + c2] = b2; y[y1 + c3] = b3;
        y[y2 + c0] = e0; y[y2 + c1] = e1; y[y2 + c2] = e2; y[y2 + c3] = e3;
        y[y3 + c0] = f0; y[y3 + c1] = f1; y[y3 + c2] = f2; y[y3 + c3] = f3;
      }
    }
    return y;
  }

  return { product };
})();
