// Building blocks of a machine's sound, one for one those of asdlib/park/sounds.py. Sounds are Float64Array (n,) at RATE
// samples a second; `rng` draws as NumPy's generator does: normal(n), uniform(low, high, n), poisson(mean), exponential(scale, n).
asdlive.sounds = (function () {
  const RATE = 16000, TURN = 2 * Math.PI;
  const made = (n, value) => { const x = new Float64Array(n); for (let i = 0; i < n; i++) x[i] = value(i); return x; };
  const powerOfTwo = (n) => 2 ** Math.ceil(Math.log2(n));

  // The value at place t, counted in samples, of a track that is straight between them and constant outside.
  function between(track, t) {
    if (t <= 0) return track[0];
    const i = Math.floor(t);
    return i >= track.length - 1 ? track[track.length - 1] : track[i] + (t - i) * (track[i + 1] - track[i]);
  }

  function drift(rng, n, depth) {
    const knots = rng.normal(Math.max(4, Math.ceil(n / RATE * 1.5) + 3));
    return made(n, (i) => 1 + depth * between(knots, i * (knots.length - 1) / (n - 1)));
  }

  // Turns made so far, for a speed in turns per second.
  function turns(speed) {
    let sum = 0;
    return made(speed.length, (i) => (sum += speed[i]) / RATE);
  }

  function harmonics(cycles, levels, rng) {
    const starts = rng.uniform(0, TURN, levels.length), x = new Float64Array(cycles.length);
    levels.forEach((level, k) => { for (let i = 0; i < x.length; i++) x[i] += level * Math.sin(TURN * (k + 1) * cycles[i] + starts[k]); });
    return x;
  }
  const rolloff = (level, ratio, count) => Array.from({ length: count }, (_, k) => level * ratio ** k);

  // x through a filter whose response at f Hz is a number, or [real, imaginary] part.
  function filtered(x, response) {
    const size = powerOfTwo(x.length + 4096), padded = new Float64Array(size);
    padded.set(x);
    const { re, im } = asdlive.fourier.forward(padded);
    for (let k = 0; k < re.length; k++) {
      const h = response(k * RATE / size), [a, b] = typeof h === "number" ? [h, 0] : h;
      [re[k], im[k]] = [re[k] * a - im[k] * b, re[k] * b + im[k] * a];
    }
    im[re.length - 1] = 0; // half the sample rate has no phase
    return asdlive.fourier.inverse({ re, im }).slice(0, x.length);
  }
  function unit(x) {
    const rms = Math.sqrt(x.reduce((sum, value) => sum + value * value, 0) / x.length);
    return x.map((value) => value / rms);
  }
  const tiltedNoise = (rng, n, slope) => unit(filtered(rng.normal(n), (f) => 10 ** (-slope * Math.log2(Math.max(f, 100) / 100) / 20)));
  const bandNoise = (rng, n, centre, width) => unit(filtered(rng.normal(n), (f) => Math.exp(-0.5 * (Math.log2(Math.max(f, 1) / centre) / width) ** 2)));
  const microphone = (x, slope, gain) => filtered(x, (f) => 10 ** ((slope * Math.log2(Math.max(f, 60) / 1000) + gain) / 20));

  // x and mix times what its resonances (Hz) of Q sharpness add.
  function body(x, resonances, sharpness, mix) {
    const middle = resonances.reduce((a, b) => a + b) / resonances.length;
    return filtered(x, (f) => {
      let re = 0, im = 0; // the sum of 1 / (1 - (f / f0)^2 + i f / (f0 Q))
      resonances.forEach((f0) => {
        const a = 1 - (f / f0) ** 2, b = f / (f0 * sharpness), square = a * a + b * b;
        re += a / square; im -= b / square;
      });
      const gain = mix * f / middle / sharpness;
      return [1 - gain * im, gain * re];
    });
  }

  // Impulses at times (seconds), each spread over the two samples that it falls between; strength is a number or one each.
  function impactTrain(n, times, strength) {
    const x = new Float64Array(n + 2);
    times.forEach((time, i) => {
      const place = time * RATE, first = Math.floor(place), share = place - first, hard = typeof strength === "number" ? strength : strength[i];
      if (place < 0 || place >= n) return;
      x[first] += hard * (1 - share); x[first + 1] += hard * share;
    });
    return x.slice(0, n);
  }

  // Struck metal: each impulse rings at frequency Hz and dies by 1/e in decay seconds.
  function ring(train, frequency, decay) {
    const radius = Math.exp(-1 / (decay * RATE)), angle = TURN * frequency / RATE;
    const sine = Math.sin(angle), feedback = 2 * radius * Math.cos(angle), damping = radius ** 2;
    let last = 0, before = 0;
    return made(train.length, (i) => {
      const y = sine * train[i] + feedback * last - damping * before;
      before = last; last = y;
      return y;
    });
  }

  // Times (seconds) at which cycles, in turns from 0 on, pass each 1 / perCycle.
  function everyCycle(cycles, perCycle, rng, jitter = 0) {
    const end = cycles[cycles.length - 1], count = Math.floor(end * perCycle) + 1;
    const [offset] = rng.uniform(0, 1, 1), off = rng.normal(count), times = [];
    for (let i = 0; i < count; i++) {
      const mark = (i + offset) / perCycle + jitter * off[i];
      if (mark <= 0 || mark >= end) continue;
      let low = 0, high = cycles.length - 1;
      while (high - low > 1) { const middle = low + high >> 1; if (cycles[middle] <= mark) low = middle; else high = middle; }
      times.push((mark <= cycles[0] ? 0 : low + (mark - cycles[low]) / (cycles[high] - cycles[low])) / RATE);
    }
    return times;
  }
  const poissonTimes = (rng, seconds, perSecond) => Array.from(rng.uniform(0, seconds, rng.poisson(perSecond * seconds)));

  // x in a room: direct sound and wet times a tail of noise, which falls by 60 dB in decay seconds.
  function room(x, rng, decay, wet) {
    const length = Math.max(1, Math.floor(decay * RATE)), noise = rng.normal(length);
    const tail = noise.map((value, i) => value * 10 ** (-3 * i / length)), energy = tail.reduce((sum, value) => sum + value * value, 0);
    const size = powerOfTwo(x.length + length), a = new Float64Array(size), b = new Float64Array(size);
    a.set(x); b.set(tail);
    const direct = asdlive.fourier.forward(a), { re, im } = asdlive.fourier.forward(b);
    for (let k = 0; k < re.length; k++) {
      [re[k], im[k]] = [re[k] * direct.re[k] - im[k] * direct.im[k], re[k] * direct.im[k] + im[k] * direct.re[k]];
    }
    const answer = asdlive.fourier.inverse({ re, im }), gain = wet / Math.sqrt(energy);
    return made(x.length, (i) => x[i] + gain * answer[i]);
  }

  return { RATE, TURN, made, between, drift, turns, harmonics, rolloff, tiltedNoise, bandNoise, microphone, body, impactTrain, ring,
    everyCycle, poissonTimes, room };
})();
