// One run, step by step, on the clips of a park, and a look at where it stands. The seed decides all that is drawn.
//
// data: width (numbers a clip), machines (how many), known { x, labels } to learn from, asked { x, labels, faulty } to judge by.
// settings: method ("stage 1 alone", "one stage", "two stages"), temperature, margin, scale, batch, seed, steps, rate, sizes.
asdplay.training = function (data, settings) {
  const { known, asked, machines } = data, { batch, steps } = settings, width = settings.sizes[settings.sizes.length - 1];
  const rng = asdplay.random(settings.seed), encoder = asdplay.encoder([data.width].concat(settings.sizes), rng);
  const weight = asdplay.uniform(machines * width, Math.sqrt(6 / (machines + width)), rng); // of ArcFace: a row a machine
  // The steps of stage 1.
  const contrasting = { "stage 1 alone": steps, "two stages": Math.floor(steps / 2), "one stage": 0 }[settings.method];
  const order = Array.from(known.labels.keys());
  let step = 0, losses = [], optimize = asdplay.adam(encoder.weights, settings.rate);

  function next() {
    if (step === steps) return;
    if (step === contrasting) optimize = asdplay.adam(encoder.weights.concat([weight]), settings.rate); // nothing is frozen
    const { x, labels } = drawn(), there = encoder.forward(x), first = step < contrasting;
    const found = first ? asdplay.contrast(there.points, labels, width, settings.temperature)
      : asdplay.arcFace(there.points, labels, width, weight, settings);
    step += 1;
    if (!found) return; // a batch in which no machine comes twice teaches nothing
    const gradients = encoder.backward(there, found.gradient);
    optimize(first ? gradients : gradients.concat([found.atWeight]));
    losses.push(found.loss);
  }

  // A batch of different clips at random.
  function drawn() {
    const x = new Float64Array(batch * data.width), labels = new Uint8Array(batch);
    for (let i = 0; i < batch; i++) {
      const j = i + Math.floor((order.length - i) * rng()), clip = order[j];
      order[j] = order[i]; order[i] = clip;
      x.set(known.x.subarray(clip * data.width, (clip + 1) * data.width), i * data.width);
      labels[i] = known.labels[clip];
    }
    return { x, labels };
  }

  // How the asked clips lie and score now. "places" (x, y of each): every machine has a seat on a circle, and a clip lies in the
  // middle of the seats, each counting as the chance to draw that machine, as in the contrastive loss, at a temperature of 0.1.
  function look() {
    const ways = means(), { points } = encoder.forward(asked.x), cosine = asdplay.products(points, ways, width);
    const places = new Float64Array(2 * asked.labels.length), distances = new Float64Array(asked.labels.length), own = [], other = [];
    asked.labels.forEach((label, i) => {
      const row = cosine.subarray(i * machines, (i + 1) * machines);
      const chances = row.map((value) => Math.exp(value / 0.1)), all = chances.reduce((sum, chance) => sum + chance);
      chances.forEach((chance, j) => {
        places[2 * i] += chance / all * Math.sin(2 * Math.PI * j / machines);
        places[2 * i + 1] -= chance / all * Math.cos(2 * Math.PI * j / machines);
      });
      distances[i] = 1 - row[label];
      if (asked.faulty[i]) return;
      own.push(row[label]);
      other.push(Math.max(...row.filter((_, j) => j !== label)));
    });
    const loss = losses.reduce((sum, one) => sum + one, 0) / losses.length, first = contrasting > 0 && step <= contrasting;
    losses = [];
    return {
      step, loss, places, distances, stage: first ? 1 : 2, done: step === steps,
      surprises: first ? null : asdplay.arcFace(points, asked.labels, width, weight, settings).surprises,
      // Of the healthy ones: the share that lies nearest to its own machine, and the angles to that and to the nearest other.
      right: own.filter((value, i) => value > other[i]).length / own.length, own: middle(own), other: middle(other)
    };
  }

  // The median angle, in degrees, of cosines.
  function middle(cosines) {
    const cosine = cosines.slice().sort((a, b) => a - b)[cosines.length >> 1];
    return Math.acos(Math.min(1, cosine)) * 180 / Math.PI;
  }

  // The mean direction of each machine's training clips.
  function means() {
    const { points } = encoder.forward(known.x), sums = new Float64Array(machines * width);
    known.labels.forEach((label, i) => {
      for (let k = 0; k < width; k++) sums[label * width + k] += points[i * width + k];
    });
    return asdplay.onSphere(sums, width).unit;
  }
  return { next, look, encoder };
};
