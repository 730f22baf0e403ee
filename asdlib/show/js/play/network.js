// A small encoder, forwards and backwards: rows of numbers -> linear, ReLU, ..., linear -> points on the unit sphere.
// Matrices are flat, row after row; a weight has a row for each output, as torch has it.

// Numbers in 0..1 that only the seed decides (mulberry32, Tommy Ettinger, public domain).
asdplay.random = function (seed) {
  let state = seed >>> 0;
  return function () {
    state = state + 0x6D2B79F5 >>> 0;
    let mixed = Math.imul(state ^ state >>> 15, state | 1);
    mixed ^= mixed + Math.imul(mixed ^ mixed >>> 7, mixed | 61);
    return ((mixed ^ mixed >>> 14) >>> 0) / 4294967296;
  };
};

// Numbers between -most and most.
asdplay.uniform = (count, most, rng) => Float64Array.from({ length: count }, () => most * (2 * rng() - 1));

// (Rows of a) times (rows of b), all of this width: out[i, j] = a[i] . b[j]. Four sums at a time, because a processor that
// waits for each sum before it adds to it takes three times as long.
asdplay.products = function (a, b, width) {
  const rows = a.length / width, columns = b.length / width, out = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    const p = i * width, o = i * columns;
    let j = 0;
    for (; j + 3 < columns; j += 4) {
      const q = j * width, r = q + width, s = r + width, t = s + width;
      let first = 0, second = 0, third = 0, fourth = 0;
      for (let k = 0; k < width; k++) {
        const x = a[p + k];
        first += x * b[q + k]; second += x * b[r + k]; third += x * b[s + k]; fourth += x * b[t + k];
      }
      out[o + j] = first; out[o + j + 1] = second; out[o + j + 2] = third; out[o + j + 3] = fourth;
    }
    for (; j < columns; j++) for (let k = 0; k < width; k++) out[o + j] += a[p + k] * b[j * width + k];
  }
  return out;
};

// Every row made one long.
asdplay.onSphere = function (x, width) {
  const unit = new Float64Array(x.length), lengths = new Float64Array(x.length / width);
  for (let i = 0; i < lengths.length; i++) {
    let sum = 0;
    for (let k = i * width; k < (i + 1) * width; k++) sum += x[k] ** 2;
    lengths[i] = Math.max(Math.sqrt(sum), 1e-12);
    for (let k = i * width; k < (i + 1) * width; k++) unit[k] = x[k] / lengths[i];
  }
  return { unit, lengths };
};

// What of a gradient remains for x where the loss sees x made one long: nothing along x itself.
asdplay.throughSphere = function ({ unit, lengths }, gradient, width) {
  const out = new Float64Array(gradient.length);
  for (let i = 0; i < lengths.length; i++) {
    let along = 0;
    for (let k = i * width; k < (i + 1) * width; k++) along += unit[k] * gradient[k];
    for (let k = i * width; k < (i + 1) * width; k++) out[k] = (gradient[k] - along * unit[k]) / lengths[i];
  }
  return out;
};

// sizes: the numbers of a clip, of each hidden layer, and of the embedding. weights: of each layer its matrix, then its bias.
asdplay.encoder = function (sizes, rng) {
  const layers = sizes.length - 1, weights = [];
  for (let l = 0; l < layers; l++) {
    const most = 1 / Math.sqrt(sizes[l]); // torch's own start
    weights.push(asdplay.uniform(sizes[l + 1] * sizes[l], most, rng), asdplay.uniform(sizes[l + 1], most, rng));
  }

  // Clips, flat -> their points, and what the way back needs.
  function forward(x) {
    const inputs = [];
    for (let l = 0; l < layers; l++) {
      inputs.push(x);
      x = asdplay.products(x, weights[2 * l], sizes[l]);
      const bias = weights[2 * l + 1], width = sizes[l + 1];
      for (let k = 0; k < x.length; k++) {
        x[k] += bias[k % width];
        if (l < layers - 1 && x[k] < 0) x[k] = 0;
      }
    }
    const sphere = asdplay.onSphere(x, sizes[layers]);
    return { points: sphere.unit, sphere, inputs };
  }

  // The gradient of a loss at the points -> that at each of the weights.
  function backward({ sphere, inputs }, atPoints) {
    const gradients = [];
    let gradient = asdplay.throughSphere(sphere, atPoints, sizes[layers]);
    for (let l = layers - 1; l >= 0; l--) {
      const wide = sizes[l], tall = sizes[l + 1], x = inputs[l], weight = weights[2 * l];
      const atWeight = new Float64Array(weight.length), atBias = new Float64Array(tall), atInput = new Float64Array(x.length);
      for (let i = 0; i < x.length / wide; i++) for (let j = 0; j < tall; j++) {
        const slope = gradient[i * tall + j];
        if (slope === 0) continue;
        atBias[j] += slope;
        for (let k = 0, p = i * wide, q = j * wide; k < wide; k++) {
          atWeight[q + k] += slope * x[p + k];
          atInput[p + k] += slope * weight[q + k];
        }
      }
      gradients.unshift(atWeight, atBias);
      if (l) for (let k = 0; k < x.length; k++) if (x[k] === 0) atInput[k] = 0; // behind a ReLU that was shut
      gradient = atInput;
    }
    return gradients;
  }
  return { weights, forward, backward };
};

// Adam (Kingma and Ba, ICLR 2015): every weight moves about as far as the rate, against its gradient's running mean.
asdplay.adam = function (weights, rate) {
  const means = weights.map((w) => new Float64Array(w.length)), squares = weights.map((w) => new Float64Array(w.length));
  let count = 0;
  return function (gradients) {
    count += 1;
    const size = rate * Math.sqrt(1 - 0.999 ** count) / (1 - 0.9 ** count), small = 1e-8 * Math.sqrt(1 - 0.999 ** count);
    weights.forEach((weight, w) => {
      const mean = means[w], square = squares[w], gradient = gradients[w];
      for (let k = 0; k < weight.length; k++) {
        mean[k] = 0.9 * mean[k] + 0.1 * gradient[k];
        square[k] = 0.999 * square[k] + 0.001 * gradient[k] ** 2;
        weight[k] -= size * mean[k] / (Math.sqrt(square[k]) + small);
      }
    });
  };
};
