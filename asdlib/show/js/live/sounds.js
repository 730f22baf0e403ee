// Building blocks of a machine's sound, one for one those of asdlib/park/sounds.py. Sounds are Float64Array (n,) at RATE
// samples a second; `rng` draws as NumPy's generator does: normal(n), uniform(low, high, n), poisson(mean), exponential(scale, n).
asdlive.sounds = (function () {
  const RATE = 16000, TURN = 2 * Math.PI;
  const made = (n, value) => { const x = new Float64Array(n); for (let i = 0; i < n; i++) x[i] = value(i); return x; };

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

  // The sum over k of levels[k] sin(2 pi (k + 1) cycles + starts[k]): one sine and one cosine a sample, and Horner's scheme
  // for the polynomial in exp(2 pi sqrt(-1) cycles), whose imaginary part that is.
  function harmonics(cycles, levels, rng) {
    const count = levels.length, starts = rng.uniform(0, TURN, count), x = new Float64Array(cycles.length);
    const a = Float64Array.from(starts, (start, k) => levels[k] * Math.cos(start));
    const b = Float64Array.from(starts, (start, k) => levels[k] * Math.sin(start));
    for (let i = 0; i < x.length; i++) {
      const c = Math.cos(TURN * cycles[i]), s = Math.sin(TURN * cycles[i]);
      let re = 0, im = 0;
      for (let k = count - 1; k >= 0; k--) {
        const sum = re + a[k];
        im += b[k];
        re = sum * c - im * s;
        im = sum * s + im * c;
      }
      x[i] = im;
    }
    return x;
  }
  const rolloff = (level, ratio, count) => Array.from({ length: count }, (_, k) => level * ratio ** k);

  // The spectrum of x and zeros after it, size samples in all.
  function spectrum(x, size) {
    const padded = new Float64Array(size);
    padded.set(x);
    return asdlive.fourier.forward(padded);
  }
  // In place, the spectrum at number k times re + im sqrt(-1).
  function turned(spectrum, k, re, im) {
    const a = spectrum.re[k], b = spectrum.im[k];
    spectrum.re[k] = a * re - b * im;
    spectrum.im[k] = a * im + b * re;
  }
  // x through a filter: change(spectrum, k, f) changes its spectrum at number k, which is f Hz.
  function filtered(x, change) {
    const size = asdlive.fourier.length(x.length + 4096), heard = spectrum(x, size), last = size / 2;
    for (let k = 0; k <= last; k++) change(heard, k, k * RATE / size);
    heard.im[last] = 0; // half the sample rate has no phase
    return asdlive.fourier.inverse(heard).subarray(0, x.length);
  }
  const weighted = (x, gain) => filtered(x, (heard, k, f) => { const g = gain(f); heard.re[k] *= g; heard.im[k] *= g; });
  function unit(x) {
    const rms = Math.sqrt(energy(x) / x.length);
    return x.map((value) => value / rms);
  }
  function energy(x) {
    let sum = 0;
    for (let i = 0; i < x.length; i++) sum += x[i] * x[i];
    return sum;
  }
  const perOctave = (ratio, decibels) => ratio ** (decibels * Math.log2(10) / 20); // so many decibels each time that ratio doubles
  const tiltedNoise = (rng, n, slope) => unit(weighted(rng.normal(n), (f) => perOctave(Math.max(f, 100) / 100, -slope)));
  const bandNoise = (rng, n, centre, width) => unit(weighted(rng.normal(n), (f) => Math.exp(-0.5 * (Math.log2(Math.max(f, 1) / centre) / width) ** 2)));
  function microphone(x, slope, gain) {
    const louder = 10 ** (gain / 20);
    return slope ? weighted(x, (f) => louder * perOctave(Math.max(f, 60) / 1000, slope)) : x.map((value) => louder * value);
  }

  // x and mix times what its resonances (Hz) of Q sharpness add.
  function body(x, resonances, sharpness, mix) {
    const middle = resonances.reduce((a, b) => a + b) / resonances.length;
    return filtered(x, (heard, k, f) => {
      let re = 0, im = 0; // the sum of 1 / (1 - (f / f0)^2 + i f / (f0 Q))
      for (let i = 0; i < resonances.length; i++) {
        const share = f / resonances[i], a = 1 - share * share, b = share / sharpness, square = a * a + b * b;
        re += a / square; im -= b / square;
      }
      const gain = mix * f / middle / sharpness;
      turned(heard, k, 1 - gain * im, gain * re);
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

  // The echo of a room, for sounds of n samples: the spectrum of a tail of noise, of energy 1, which falls by 60 dB in decay seconds.
  function echo(rng, n, decay) {
    const length = Math.max(1, Math.floor(decay * RATE)), tail = rng.normal(length).map((value, i) => value * 10 ** (-3 * i / length));
    const rms = Math.sqrt(energy(tail));
    return spectrum(tail.map((value) => value / rms), asdlive.fourier.length(n + length));
  }
  // x in a room: direct sound, and wet times its echo.
  function room(x, echo, wet) {
    const heard = spectrum(x, 2 * (echo.re.length - 1));
    for (let k = 0; k < heard.re.length; k++) turned(heard, k, echo.re[k], echo.im[k]);
    const answer = asdlive.fourier.inverse(heard);
    return made(x.length, (i) => x[i] + wet * answer[i]);
  }

  return { RATE, TURN, made, between, drift, turns, harmonics, rolloff, tiltedNoise, bandNoise, microphone, body, impactTrain, ring,
    everyCycle, poissonTimes, echo, room };
})();
