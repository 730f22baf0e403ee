// A trained detector: of a waveform (Float32Array in ±1) the anomaly score of every machine, larger is more anomalous.
// `file` is what asd export --web writes. As asdlib/use/detector.py has it.
asdlive.detector = function (file) {
  const numbers = decode(file.data, file.bits), run = withNumbers(file), { machines, features, piece } = run;
  const front = asdlive.front(features), frames = Math.floor(features.samples / features.hop) + 1;

  function decode(text, bits) {
    const { buffer } = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    return bits === 32 ? new Float32Array(buffer) : new Float32Array(Array.from(new Uint16Array(buffer), asdlive.half.number));
  }
  // The file with weights in place of every { at, count, rest }: count numbers from at on, and what they leave out from rest on.
  function withNumbers(part) {
    if (part === null || typeof part !== "object") return part;
    if (Array.isArray(part)) return part.map(withNumbers);
    if ("rest" in part) return numbers.slice(part.at, part.at + part.count).map((value, i) => value + numbers[part.rest + i]);
    if ("count" in part) return numbers.subarray(part.at, part.at + part.count);
    return Object.fromEntries(Object.keys(part).filter((key) => key !== "data").map((key) => [key, withNumbers(part[key])]));
  }

  // The encoder on the piece that begins at a frame, and the picture that TgramNet makes of it.
  function encode(x, logMel, start) {
    const wave = x.subarray(start * features.hop, start * features.hop + piece.samples), { mels } = features;
    const tgram = asdlive.network.tgram(wave, run.tgram, features), values = new Float32Array(2 * tgram.length);
    for (let m = 0; m < mels; m++) {
      const from = m * frames + start;
      values.set(logMel.subarray(from, from + piece.frames), m * piece.frames);
    }
    values.set(tgram, tgram.length);
    const image = { values, height: mels, width: piece.frames };
    return { encoding: run.blocks.reduce(asdlive.network.block, image).values, tgram };
  }

  // A linear layer: weight (n * dim,), bias (n,) or none, and x (dim,) -> (n,).
  function linear(x, weight, bias) {
    const dim = x.length, out = new Float64Array(weight.length / dim);
    for (let row = 0, at = 0; row < out.length; row++) {
      let sum = bias ? bias[row] : 0;
      for (let i = 0; i < dim; i++) sum += x[i] * weight[at++];
      out[row] = sum;
    }
    return out;
  }
  function unit(x) {
    const length = Math.max(Math.hypot(...x), 1e-12);
    return x.map((value) => value / length);
  }

  // -log p(machine), its own logit harder by ArcFace's margin as in training: log(1 + sum of exp(other - own)).
  function surprises(cosines) {
    const { margin, scale } = run.arcface;
    return Array.from(cosines, (cosine, label) => {
      const sine = Math.sqrt(Math.max(1 - cosine ** 2, 1e-7)), beyond = cosine <= -Math.cos(margin);
      const own = beyond ? cosine - margin * Math.sin(margin) : cosine * Math.cos(margin) - sine * Math.sin(margin);
      const others = Array.from(cosines).filter((_, other) => other !== label).map((other) => scale * (other - own));
      const top = Math.max(0, ...others);
      return top + Math.log(others.reduce((sum, gap) => sum + Math.exp(gap - top), Math.exp(-top)));
    });
  }

  // waveform -> { scores (machines,), cosines (machines,), embedding (dim,), logMel and tgram (mels * frames,) }.
  function hear(waveform) {
    const x = front.fitted(waveform), logMel = front.logMel(x), pieces = piece.starts.map((start) => encode(x, logMel, start));
    const mean = pieces[0].encoding.map((_, i) => pieces.reduce((sum, { encoding }) => sum + encoding[i], 0) / pieces.length);
    const embedding = linear(mean, run.first.weight, run.first.bias), cosines = linear(unit(embedding), run.arcface.weight);
    return { scores: surprises(cosines), cosines, embedding, logMel, tgram: pieces[0].tgram };
  }

  // The cosine distances of an embedding (dim,) to the training clips of a machine, nearest first: { machine, clip, distance }.
  function neighbours(embedding, machine) {
    const similar = linear(unit(embedding), run.bank[machines.indexOf(machine)]);
    return Array.from(similar, (cosine, clip) => ({ machine, clip, distance: Math.max(0, 1 - cosine) })).sort((a, b) => a.distance - b.distance);
  }

  return { machines, features, thresholds: file.thresholds, hear, neighbours };
};
