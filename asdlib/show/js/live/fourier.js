// The Fourier transform of real sounds, n a power of two: as two half-length transforms of complex numbers in one,
// the even samples as real parts, the odd ones as imaginary parts (Cooley and Tukey, 1965).
asdlive.fourier = (function () {
  const tables = new Map();

  // Cosines and sines of a turn in n steps, and where each sample of n goes when its index is read backwards in bits.
  function table(n) {
    if (!tables.has(n)) {
      const cos = new Float64Array(n), sin = new Float64Array(n), order = new Uint32Array(n), bits = Math.log2(n);
      for (let i = 0; i < n; i++) {
        cos[i] = Math.cos(2 * Math.PI * i / n);
        sin[i] = Math.sin(2 * Math.PI * i / n);
        for (let k = 0; k < bits; k++) order[i] |= (i >>> k & 1) << (bits - 1 - k);
      }
      tables.set(n, { cos, sin, order });
    }
    return tables.get(n);
  }

  // In place, re and im (n,) each: the sum over i of x[i] exp(-2 pi sqrt(-1) i k / n) for every k.
  function complex(re, im) {
    const n = re.length, { cos, sin, order } = table(n);
    for (let i = 0; i < n; i++) {
      const j = order[i];
      if (j > i) [re[i], re[j], im[i], im[j]] = [re[j], re[i], im[j], im[i]];
    }
    for (let size = 2; size <= n; size *= 2) {
      const half = size / 2, step = n / size;
      for (let start = 0; start < n; start += size) {
        for (let k = 0; k < half; k++) {
          const p = start + k, q = p + half, c = cos[k * step], s = sin[k * step];
          const a = re[q] * c + im[q] * s, b = im[q] * c - re[q] * s;
          re[q] = re[p] - a; im[q] = im[p] - b;
          re[p] += a; im[p] += b;
        }
      }
    }
  }

  // x (n,) real -> { re, im } (n / 2 + 1,) each: the frequencies from 0 to half the sample rate.
  function forward(x) {
    const n = x.length, half = n / 2, a = new Float64Array(half), b = new Float64Array(half), { cos, sin } = table(n);
    for (let i = 0; i < half; i++) { a[i] = x[2 * i]; b[i] = x[2 * i + 1]; }
    complex(a, b);
    const re = new Float64Array(half + 1), im = new Float64Array(half + 1);
    for (let k = 0; k <= half; k++) {
      const i = k % half, j = (half - k) % half;
      const evenRe = (a[i] + a[j]) / 2, evenIm = (b[i] - b[j]) / 2, oddRe = (b[i] + b[j]) / 2, oddIm = (a[j] - a[i]) / 2;
      re[k] = evenRe + oddRe * cos[k] + oddIm * sin[k];
      im[k] = evenIm + oddIm * cos[k] - oddRe * sin[k];
    }
    return { re, im };
  }

  // The inverse of forward: { re, im } (n / 2 + 1,) each -> x (n,).
  function inverse(spectrum) {
    const { re, im } = spectrum, half = re.length - 1, n = 2 * half, { cos, sin } = table(n);
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

  return { forward, inverse };
})();
