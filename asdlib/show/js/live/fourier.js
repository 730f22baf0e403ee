// The Fourier transform of real sounds, n even and otherwise a power of two times 1, 3 or 9: as a half-length transform of
// complex numbers, the even samples as real parts, the odd ones as imaginary parts (Cooley and Tukey, 1965).
asdlive.fourier = (function () {
  const tables = new Map(), orders = new Map();

  // Cosines and sines of a turn in n steps.
  function turn(n) {
    if (!tables.has(n)) {
      const cos = new Float64Array(n), sin = new Float64Array(n);
      for (let i = 0; i < n; i++) { cos[i] = Math.cos(2 * Math.PI * i / n); sin[i] = Math.sin(2 * Math.PI * i / n); }
      tables.set(n, { cos, sin });
    }
    return tables.get(n);
  }
  // Where each of n goes when its index is read backwards in bits.
  function reversed(n) {
    if (!orders.has(n)) {
      const order = new Uint32Array(n);
      for (let i = 1; i < n; i++) order[i] = order[i >> 1] >> 1 | (i & 1 ? n >> 1 : 0);
      orders.set(n, order);
    }
    return orders.get(n);
  }

  // In place, re and im (n,) each: the sum over i of x[i] exp(-2 pi sqrt(-1) i k / n) for every k.
  function complex(re, im) {
    if (re.length % 3 === 0) thirds(re, im); else halves(re, im);
  }

  // n a power of two: pairs, pairs of pairs, and so on.
  function halves(re, im) {
    const n = re.length, order = reversed(n);
    for (let i = 0; i < n; i++) {
      const j = order[i];
      if (j > i) {
        const a = re[i], b = im[i];
        re[i] = re[j]; im[i] = im[j];
        re[j] = a; im[j] = b;
      }
    }
    for (let size = 2; size <= n; size *= 2) {
      const half = size / 2, { cos, sin } = turn(size); // a table for each size, so that it is read from end to end
      for (let start = 0; start < n; start += size) {
        for (let k = 0; k < half; k++) {
          const p = start + k, q = p + half, c = cos[k], s = sin[k];
          const a = re[q] * c + im[q] * s, b = im[q] * c - re[q] * s;
          re[q] = re[p] - a; im[q] = im[p] - b;
          re[p] += a; im[p] += b;
        }
      }
    }
  }

  // n a multiple of three: every third sample on its own, then the three together.
  function thirds(re, im) {
    const n = re.length, third = n / 3, { cos, sin } = turn(n), SIXTY = Math.sqrt(3) / 2;
    const [[a, d], [b, e], [c, f]] = [0, 1, 2].map((first) => {
      const x = new Float64Array(third), y = new Float64Array(third);
      for (let i = 0, j = first; i < third; i++, j += 3) { x[i] = re[j]; y[i] = im[j]; }
      complex(x, y);
      return [x, y];
    });
    for (let k = 0; k < third; k++) {
      const c1 = cos[k], s1 = sin[k], c2 = cos[2 * k], s2 = sin[2 * k];
      const p = b[k] * c1 + e[k] * s1, q = e[k] * c1 - b[k] * s1, r = c[k] * c2 + f[k] * s2, s = f[k] * c2 - c[k] * s2;
      const x = a[k] - (p + r) / 2, y = d[k] - (q + s) / 2, u = SIXTY * (q - s), v = SIXTY * (p - r);
      re[k] = a[k] + p + r; im[k] = d[k] + q + s;
      re[k + third] = x + u; im[k + third] = y - v;
      re[k + 2 * third] = x - u; im[k + 2 * third] = y + v;
    }
  }

  // x (n,) real -> { re, im } (n / 2 + 1,) each: the frequencies from 0 to half the sample rate.
  function forward(x) {
    const n = x.length, half = n / 2, a = new Float64Array(half), b = new Float64Array(half), { cos, sin } = turn(n);
    for (let i = 0; i < half; i++) { a[i] = x[2 * i]; b[i] = x[2 * i + 1]; }
    complex(a, b);
    const re = new Float64Array(half + 1), im = new Float64Array(half + 1);
    re[0] = a[0] + b[0]; re[half] = a[0] - b[0];
    for (let i = 1, j = half - 1; i < half; i++, j--) {
      const evenRe = (a[i] + a[j]) / 2, evenIm = (b[i] - b[j]) / 2, oddRe = (b[i] + b[j]) / 2, oddIm = (a[j] - a[i]) / 2;
      re[i] = evenRe + oddRe * cos[i] + oddIm * sin[i];
      im[i] = evenIm + oddIm * cos[i] - oddRe * sin[i];
    }
    return { re, im };
  }

  // The inverse of forward: { re, im } (n / 2 + 1,) each -> x (n,).
  function inverse({ re, im }) {
    const half = re.length - 1, n = 2 * half, { cos, sin } = turn(n);
    const a = new Float64Array(half), b = new Float64Array(half), x = new Float64Array(n);
    for (let k = 0; k < half; k++) {
      const j = half - k;
      const evenRe = (re[k] + re[j]) / 2, evenIm = (im[k] - im[j]) / 2, r = (re[k] - re[j]) / 2, s = (im[k] + im[j]) / 2;
      const oddRe = r * cos[k] - s * sin[k], oddIm = r * sin[k] + s * cos[k];
      a[k] = evenRe - oddIm;
      b[k] = -(evenIm + oddRe); // conjugated: the same transform then runs backwards
    }
    complex(a, b);
    for (let i = 0; i < half; i++) { x[2 * i] = a[i] / half; x[2 * i + 1] = -b[i] / half; }
    return x;
  }

  // The smallest length of at least n that can be transformed.
  const length = (n) => Math.min(...[1, 3, 9].map((odd) => odd * 2 ** Math.max(1, Math.ceil(Math.log2(n / odd)))));

  return { forward, inverse, length };
})();
