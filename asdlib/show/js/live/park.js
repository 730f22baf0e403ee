// The simulated park in the page, as asdlib/park/rendering.py has it: identity, nuisance and fault of a clip stay apart.
// `park` is what asdlib.use.web puts into a page: of every type its machines, faults, tolerances and reference level.
asdlive.park = function (park) {
  const s = asdlive.sounds, { RATE } = s, LOUDNESS = 0.03;

  // What is there beside the machine in a clip of n samples: the echo of the room, the noise of the hall, what passes by.
  function surroundings(own, env, n) {
    const echo = s.echo(own, n, env.room_decay), hall = s.tiltedNoise(own, n, env.background_slope), events = new Float64Array(n);
    for (let k = 0; k < env.events; k++) {
      const [[time], [hard]] = [own.uniform(0, n / RATE, 1), own.uniform(0.5, 2, 1)];
      const [[frequency], [decay]] = [own.uniform(300, 3000, 1), own.uniform(0.01, 0.08, 1)];
      s.ring(s.impactTrain(n, [time], hard), frequency, decay).forEach((value, i) => { events[i] += value; });
    }
    return { echo, hall, events };
  }

  // A clip (n,) of a machine "type/id". The same draws with and without a fault are the same moment.
  // severity 1 is a clear fault of its kind; env is the nuisance; rng draws for the machine, own for everything else.
  function clip({ machine, fault = "", severity = 0, env, n, rng, own, around = surroundings(own, env, n), values = healthy(machine, rng) }) {
    const name = machine.split("/")[0], type = park[name], moved = { ...values };
    Object.entries(fault ? type.faults[fault] : {}).forEach(([key, factor]) => { moved[key] *= factor ** severity; });
    const voice = asdlive.voices[name](moved, env, rng, n).map((x) => x / type.reference);
    const heard = s.room(voice, around.echo, env.room_wet), level = 10 ** (-env.snr / 20);
    const loud = s.microphone(s.made(n, (i) => heard[i] + level * around.hall[i] + around.events[i]), env.colour, env.gain);
    return new Float32Array(loud.map((x) => Math.max(-1, Math.min(1 - 2 ** -15, LOUDNESS * x))));
  }

  // The parameters of one clip of a machine: its own, within its tolerance.
  function healthy(machine, rng) {
    const [name, id] = machine.split("/"), { machines, tolerances } = park[name];
    return Object.fromEntries(Object.entries(machines[id]).map(([key, value]) => [key, value * Math.exp(tolerances[key] * rng.normal(1)[0])]));
  }

  // As 16 bits keep it, as the clips of the park are kept.
  const kept = (x) => x.map((value) => { const steps = value * 2 ** 15, up = Math.round(steps); return (up - steps === 0.5 && up % 2 ? up - 1 : up) / 2 ** 15; });

  return { clip, surroundings, healthy, kept, generator };

  // Random numbers that a seed decides (sfc32 of PractRand, by Chris Doty-Humphrey); normal ones by Box and Muller.
  function generator(seed) {
    let a = 0, b = seed >>> 0, c = 0x9e3779b9, counter = 1;
    function next() {
      const sum = (a + b + counter) | 0;
      counter = (counter + 1) | 0;
      a = b ^ (b >>> 9);
      b = (c + (c << 3)) | 0;
      c = ((c << 21) | (c >>> 11)) + sum | 0;
      return (sum >>> 0) / 2 ** 32;
    }
    for (let i = 0; i < 15; i++) next();
    const many = (n, draw) => s.made(n, draw);
    return {
      uniform: (low, high, n) => many(n, () => low + (high - low) * next()),
      normal: (n) => many(n, () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(s.TURN * next())),
      exponential: (scale, n) => many(n, () => -scale * Math.log(1 - next())),
      poisson: function (mean) { // arrivals in one unit of time
        let count = 0;
        for (let time = -Math.log(1 - next()); time < mean; time -= Math.log(1 - next())) count++;
        return count;
      }
    };
  }
};
