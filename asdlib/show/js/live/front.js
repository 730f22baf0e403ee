// The front end, as asdlib/sound/features.py has it: a Hann window of nFft samples every hop samples, power, mel bands,
// decibels, rounded to 16 bits as the clips of training were. Of every band the file has the first frequency and the weights
// from there on, as torchaudio rounds them: computed anew here, a hundredth of all levels would round to their neighbour.
asdlive.front = function (settings) {
  const { nFft, hop, bands } = settings, mels = bands.length;
  const hann = Float32Array.from({ length: nFft }, (_, i) => 0.5 - 0.5 * Math.cos(2 * Math.PI * i / nFft));

  // A recording as long as the clips of training: its beginning, or repeated.
  function fitted(x) {
    const out = new Float32Array(settings.samples);
    for (let i = 0; i < out.length; i++) out[i] = x[i % x.length];
    return out;
  }

  // Waveform (samples,) in ±1 -> log-mel (mels * frames,) in dB, band after band.
  function logMel(x) {
    const frames = Math.floor(x.length / hop) + 1, out = new Float32Array(mels * frames), piece = new Float64Array(nFft);
    for (let frame = 0; frame < frames; frame++) {
      for (let i = 0; i < nFft; i++) {
        let place = Math.abs(frame * hop + i - nFft / 2); // mirrored at both ends
        if (place >= x.length) place = 2 * x.length - 2 - place;
        piece[i] = x[place] * hann[i];
      }
      const { re, im } = asdlive.fourier.forward(piece);
      for (let m = 0; m < mels; m++) {
        const { first, weights } = bands[m];
        let sum = 0;
        for (let i = 0, k = first; i < weights.length; i++, k++) sum += weights[i] * (re[k] * re[k] + im[k] * im[k]);
        out[m * frames + frame] = asdlive.half.rounded(10 * Math.log10(Math.max(sum, 1e-10)));
      }
    }
    return out;
  }
  return { fitted, logMel };
};

// Numbers of 16 bits: a sign, 5 bits of exponent, 10 of fraction (IEEE 754).
asdlive.half = {
  number: function (bits) {
    const sign = bits & 0x8000 ? -1 : 1, exponent = bits >> 10 & 31, fraction = bits & 1023;
    return exponent ? sign * 2 ** (exponent - 15) * (1 + fraction / 1024) : sign * 2 ** -24 * fraction;
  },
  // The nearest such number, of two as near the even one.
  rounded: function (value) {
    const step = 2 ** Math.max(-24, Math.floor(Math.log2(Math.abs(value))) - 10), steps = value / step;
    let whole = Math.round(steps);
    if (whole - steps === 0.5 && whole % 2) whole -= 1;
    return whole * step;
  }
};
