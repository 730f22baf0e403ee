// The two losses of the method, and their gradients, of points on the unit sphere (flat, rows of this width).

// The supervised contrastive loss, as asdlib/learn/contrastive.py has it: an anchor's mean surprise at its partners, which are
// the others with its label. Where no two share one there is nothing to compare: null.
asdplay.contrast = function (points, labels, width, temperature) {
  const n = labels.length, cosine = asdplay.products(points, points, width), slopes = new Float64Array(n * n);
  let loss = 0, anchors = 0;
  for (let i = 0; i < n; i++) {
    let sum = 0, partners = 0;
    for (let j = 0; j < n; j++) if (j !== i) {
      sum += slopes[i * n + j] = Math.exp((cosine[i * n + j] - 1) / temperature); // at most 1: no overflow
      partners += labels[j] === labels[i];
    }
    if (!partners) { slopes.fill(0, i * n, (i + 1) * n); continue; }
    anchors += 1;
    for (let j = 0; j < n; j++) if (j !== i) {
      slopes[i * n + j] /= sum; // the chance that i draws j
      if (labels[j] !== labels[i]) continue;
      loss += (Math.log(sum) - (cosine[i * n + j] - 1) / temperature) / partners;
      slopes[i * n + j] -= 1 / partners;
    }
  }
  if (!anchors) return null;
  const gradient = new Float64Array(points.length);
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) {
    const slope = (slopes[i * n + j] + slopes[j * n + i]) / (anchors * temperature);
    if (slope) for (let k = 0; k < width; k++) gradient[i * width + k] += slope * points[j * width + k];
  }
  return { loss: loss / anchors, gradient };
};

// ArcFace, as asdlib/learn/heads.py has it: weight has a direction for each machine; the own one's angle is made larger by the
// margin. surprises: -log p(own machine) of each point, which is its score; the loss is their mean.
asdplay.arcFace = function (points, labels, width, weight, { margin, scale }) {
  const n = labels.length, ways = asdplay.onSphere(weight, width), slopes = asdplay.products(points, ways.unit, width);
  const machines = slopes.length / n, surprises = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    const row = slopes.subarray(i * machines, (i + 1) * machines), cosine = row[labels[i]];
    const own = asdplay.shifted(cosine, margin);
    let others = 0;
    row.forEach((value, j) => { if (j !== labels[i]) others += row[j] = Math.exp(scale * (value - own.value)); });
    surprises[i] = Math.log1p(others); // exact where p is all but 1
    // The slope of the loss at every cosine: scale times (the probability, less 1 for the own machine).
    row.forEach((value, j) => {
      row[j] = scale / n * (j === labels[i] ? -others * own.slope : value) / (1 + others);
    });
  }
  const gradient = new Float64Array(points.length), atWays = new Float64Array(weight.length);
  for (let i = 0; i < n; i++) for (let j = 0; j < machines; j++) for (let k = 0; k < width; k++) {
    gradient[i * width + k] += slopes[i * machines + j] * ways.unit[j * width + k];
    atWays[j * width + k] += slopes[i * machines + j] * points[i * width + k];
  }
  const loss = surprises.reduce((sum, one) => sum + one) / n;
  return { loss, surprises, gradient, atWeight: asdplay.throughSphere(ways, atWays, width) };
};

// The cosine of the angle plus the margin, and its slope; where that would rise again, a line that goes on falling.
asdplay.shifted = function (cosine, margin) {
  if (cosine <= -Math.cos(margin)) return { value: cosine - margin * Math.sin(margin), slope: 1 };
  const square = 1 - cosine ** 2, sine = Math.sqrt(Math.max(square, 1e-7));
  return {
    value: cosine * Math.cos(margin) - sine * Math.sin(margin),
    slope: Math.cos(margin) + (square > 1e-7 ? cosine / sine * Math.sin(margin) : 0)
  };
};
