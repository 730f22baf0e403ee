// The network, as asdlib/learn/encoder.py has it, with every batch norm merged into the convolution before it.
// An image is { values (channels * height * width,), height, width }.
asdlive.network = (function () {
  // layer: { cin, cout, kernel [h, w], stride, padding, groups, weight, bias, slope } with slope, of PReLU, if it has one.
  function convolution(image, layer) {
    const { cin, cout, stride, padding, groups, weight, bias, slope } = layer, [kh, kw] = layer.kernel;
    if (kh * kw === 1) return pointwise(image, layer);
    const { values: x, height, width } = image, plane = height * width;
    const rows = Math.floor((height + 2 * padding - kh) / stride) + 1, columns = Math.floor((width + 2 * padding - kw) / stride) + 1;
    const size = rows * columns, y = new Float32Array(cout * size), inputs = cin / groups, outputs = cout / groups;
    for (let c = 0; c < cout; c++) {
      const out = c * size, group = Math.floor(c / outputs) * inputs;
      y.fill(bias[c], out, out + size);
      for (let d = 0; d < inputs; d++) {
        const from = (group + d) * plane, at = (c * inputs + d) * kh * kw;
        for (let a = 0; a < kh; a++) for (let b = 0; b < kw; b++) {
          const w = weight[at + a * kw + b], shift = b - padding; // columns that lie inside: first to last - 1
          const first = Math.max(0, Math.ceil(-shift / stride)), last = Math.min(columns, Math.floor((width - 1 - shift) / stride) + 1);
          for (let row = 0; row < rows; row++) {
            const line = row * stride + a - padding;
            if (line < 0 || line >= height) continue;
            const to = out + row * columns, of = from + line * width + shift;
            for (let i = first; i < last; i++) y[to + i] += w * x[of + i * stride];
          }
        }
      }
    }
    return { values: prelu(y, slope, size), height: rows, width: columns };
  }

  // A convolution of one pixel: most of the work, so four channels at a time, which are read and added up at once.
  function pointwise({ values: x, height, width }, { cin, cout, weight, bias, slope }) {
    const size = height * width, y = new Float32Array(cout * size);
    for (let c = 0; c < cout; c++) {
      const out = y.subarray(c * size, (c + 1) * size).fill(bias[c]);
      for (let d = 0; d < cin; d += 4) {
        const [a, b, e, f] = [0, 1, 2, 3].map((k) => (d + k < cin ? weight[c * cin + d + k] : 0));
        const [p, q, r, s] = [0, 1, 2, 3].map((k) => Math.min(d + k, cin - 1) * size);
        for (let i = 0; i < size; i++) out[i] += a * x[p + i] + b * x[q + i] + e * x[r + i] + f * x[s + i];
      }
    }
    return { values: prelu(y, slope, size), height, width };
  }

  // In place: what is negative times the slope of its channel.
  function prelu(y, slope, size) {
    if (slope) for (let i = 0; i < y.length; i++) if (y[i] < 0) y[i] *= slope[Math.floor(i / size)];
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
    const frames = Math.floor(x.length / hop) + 1, padded = new Float32Array(x.length + 4 * nFft); // zeros before and after
    padded.set(x, nFft / 2);
    let y = new Float32Array(mels * frames);
    for (let m = 0; m < mels; m++) {
      const filter = filters.subarray(m * nFft, (m + 1) * nFft), sums = new Float32Array(frames + 3);
      for (let frame = 0; frame < frames; frame += 4) { // four at a time: each number of the filter is read once for them
        const p = frame * hop, q = p + hop, r = q + hop, s = r + hop;
        let a = 0, b = 0, c = 0, d = 0;
        for (let i = 0; i < nFft; i++) {
          const w = filter[i];
          a += w * padded[p + i]; b += w * padded[q + i]; c += w * padded[r + i]; d += w * padded[s + i];
        }
        sums.set([a, b, c, d], frame);
      }
      y.set(sums.subarray(0, frames), m * frames);
    }
    blocks.forEach(({ gain, offset, taps }) => {
      for (let m = 0; m < mels; m++) activate(y.subarray(m * frames, (m + 1) * frames), gain, offset);
      y = mixed(y, taps, mels, frames);
    });
    return y;
  }

  // Layer norm over time, then leaky ReLU, of one band (frames,), in place.
  function activate(band, gain, offset) {
    const frames = band.length, mean = band.reduce((a, b) => a + b, 0) / frames;
    const variance = band.reduce((a, b) => a + (b - mean) ** 2, 0) / frames, scale = 1 / Math.sqrt(variance + 1e-5);
    for (let i = 0; i < frames; i++) {
      const value = (band[i] - mean) * scale * gain[i] + offset[i];
      band[i] = value < 0 ? 0.2 * value : value;
    }
  }

  // A convolution of three taps in time, before, at and after a frame, from every band to every band.
  function mixed(y, taps, mels, frames) {
    const z = new Float32Array(mels * frames), padded = new Float32Array(frames + 2);
    for (let d = 0; d < mels; d++) {
      padded.set(y.subarray(d * frames, (d + 1) * frames), 1);
      for (let m = 0; m < mels; m++) {
        const at = (m * mels + d) * 3, before = taps[at], now = taps[at + 1], after = taps[at + 2], to = m * frames;
        for (let i = 0; i < frames; i++) z[to + i] += before * padded[i] + now * padded[i + 1] + after * padded[i + 2];
      }
    }
    return z;
  }

  return { block, tgram };
})();
