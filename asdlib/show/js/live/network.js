// The network, as asdlib/learn/encoder.py has it, with every batch norm merged into the convolution before it.
// An image is { values (channels * height * width,), height, width }.
asdlive.network = (function () {
  const { product } = asdlive.matrix;

  // layer: { cin, cout, kernel [h, w], stride, padding, groups, weight, bias, slope } with slope, of PReLU, if it has one.
  // Groups are one, or as many as there are channels.
  function convolution(image, layer) {
    const { cin, stride, padding, groups, weight, bias, slope } = layer, [kh, kw] = layer.kernel;
    const height = Math.floor((image.height + 2 * padding - kh) / stride) + 1, width = Math.floor((image.width + 2 * padding - kw) / stride) + 1;
    const values = groups > 1 ? depthwise(image, layer, height, width)
      : product(weight, kh * kw * stride > 1 ? patches(image, layer, height, width) : image.values, cin * kh * kw, bias);
    return { values: prelu(values, slope, height * width), height, width };
  }

  // Calls use(channel, tap, place, from) for every row of the output at every tap of the kernel: the row begins at place in the
  // output and takes every stride-th number of the padded channel, from on.
  function eachRow({ values, height, width }, { cin, kernel: [kh, kw], stride, padding }, rows, columns, use) {
    const wide = width + 2 * padding, padded = new Float32Array((height + 2 * padding) * wide);
    for (let channel = 0; channel < cin; channel++) {
      for (let line = 0, at = channel * height * width; line < height; line++, at += width) {
        padded.set(values.subarray(at, at + width), (line + padding) * wide + padding);
      }
      for (let tap = 0; tap < kh * kw; tap++) {
        const first = Math.floor(tap / kw) * wide + tap % kw;
        for (let row = 0; row < rows; row++) use(padded, channel, tap, row * columns, first + row * stride * wide);
      }
    }
  }

  // Every patch that the kernel sees as a column: (channels * taps, rows * columns).
  function patches(image, layer, rows, columns) {
    const { cin, kernel: [kh, kw], stride } = layer, size = rows * columns, out = new Float32Array(cin * kh * kw * size);
    eachRow(image, layer, rows, columns, (padded, channel, tap, place, from) => {
      const to = (channel * kh * kw + tap) * size + place;
      for (let i = 0; i < columns; i++) out[to + i] = padded[from + i * stride];
    });
    return out;
  }

  // Every channel with a kernel of its own.
  function depthwise(image, layer, rows, columns) {
    const { cin, kernel: [kh, kw], stride, weight, bias } = layer, size = rows * columns, out = new Float32Array(cin * size);
    for (let c = 0; c < cin; c++) out.fill(bias[c], c * size, (c + 1) * size);
    eachRow(image, layer, rows, columns, (padded, channel, tap, place, from) => {
      const w = weight[channel * kh * kw + tap], to = channel * size + place;
      for (let i = 0; i < columns; i++) out[to + i] += w * padded[from + i * stride];
    });
    return out;
  }

  // In place: what is negative times the slope of its channel.
  function prelu(y, slope, size) {
    if (slope) for (let c = 0, i = 0; c < slope.length; c++) for (const end = i + size; i < end; i++) if (y[i] < 0) y[i] *= slope[c];
    return y;
  }

  // A block of convolutions, added to its input where it has the same shape.
  function block(image, { convolutions, skip }) {
    const out = convolutions.reduce(convolution, image);
    if (skip) for (let i = 0; i < out.values.length; i++) out.values[i] += image.values[i];
    return out;
  }

  // TgramNet: waveform (samples,) in ±1 -> the learned picture (bands * frames,) on the grid of the log-mel.
  function tgram(x, { filters, blocks }, { nFft, hop, mels }) {
    const frames = Math.floor(x.length / hop) + 1, padded = new Float32Array(x.length + 2 * nFft); // zeros before and after
    padded.set(x, nFft / 2);
    const pieces = new Float32Array(nFft * frames);
    for (let i = 0, to = 0; i < nFft; i++) for (let frame = 0; frame < frames; frame++) pieces[to++] = padded[frame * hop + i];
    return blocks.reduce((y, { gain, offset, taps }) => {
      for (let m = 0; m < mels; m++) activate(y.subarray(m * frames, (m + 1) * frames), gain, offset);
      return product(taps, neighbours(y, frames), 3 * mels);
    }, product(filters, pieces, nFft));
  }

  // Of every band (frames,) three rows: the frame before each frame, itself, and the one after it; zeros beyond the ends.
  function neighbours(y, frames) {
    const out = new Float32Array(3 * y.length);
    for (let from = 0; from < y.length; from += frames) {
      const band = y.subarray(from, from + frames);
      out.set(band.subarray(0, -1), 3 * from + 1);
      out.set(band, 3 * from + frames);
      out.set(band.subarray(1), 3 * from + 2 * frames);
    }
    return out;
  }

  // Layer norm over time, then leaky ReLU, of one band (frames,), in place.
  function activate(band, gain, offset) {
    const frames = band.length;
    let mean = 0, variance = 0;
    for (let i = 0; i < frames; i++) mean += band[i] / frames;
    for (let i = 0; i < frames; i++) variance += (band[i] - mean) ** 2 / frames;
    const scale = 1 / Math.sqrt(variance + 1e-5);
    for (let i = 0; i < frames; i++) {
      const value = (band[i] - mean) * scale * gain[i] + offset[i];
      band[i] = value < 0 ? 0.2 * value : value;
    }
  }

  return { block, tgram };
})();
