function (root, data) {
  var get = function (name) { return root.querySelector("." + name); };
  var histogram = get("histogram"), roc = get("roc"), slider = get("threshold"), player = asdlib.player(get("player"));
  var W = 420, H = 260, LEFT = 14, BOTTOM = 36, BINS = 24, table, low, high, blocks, line;
  var x = function (score) { return LEFT + (W - 2 * LEFT) * (score - low) / (high - low); };

  function build() {
    table = data[get("machine").value];
    var n = table.scores.length, lo = Math.min.apply(null, table.scores), hi = Math.max.apply(null, table.scores);
    var pad = 0.02 * (hi - lo || 1), stacks = new Array(BINS).fill(0), bins;
    low = lo - pad; high = hi + pad;
    bins = table.scores.map(function (s) { return Math.min(BINS - 1, Math.floor(BINS * (s - low) / (high - low))); });
    bins.forEach(function (bin) { stacks[bin] += 1; });
    var tall = Math.min(16, (H - BOTTOM - 10) / Math.max.apply(null, stacks)), wide = (W - 2 * LEFT) / BINS;
    histogram.replaceChildren();
    stacks.fill(0);
    blocks = [];
    var order = table.scores.map(function (_, i) { return i; });
    order.sort(function (a, b) { return table.faulty[a] - table.faulty[b] || table.scores[a] - table.scores[b]; });
    order.forEach(function (i) {
      var block = asdlib.svg("rect", {
        x: LEFT + bins[i] * wide + 0.5, y: H - BOTTOM - tall * (stacks[bins[i]] + 1), width: wide - 1, height: tall - 1,
        fill: table.faulty[i] ? "var(--asd-orange)" : "var(--asd-blue)", rx: table.faulty[i] ? 5 : 0, class: "clip", role: "button",
        tabindex: -1, "aria-label": table.texts[i] + ", score " + table.scores[i]
      }, histogram);
      stacks[bins[i]] += 1;
      asdlib.svg("title", {}, block).textContent = table.texts[i] + ", score " + table.scores[i];
      block.addEventListener("click", function () { play(i); });
      block.addEventListener("keydown", function (event) {
        var at = blocks.indexOf(block), to = { ArrowLeft: at - 1, ArrowRight: at + 1 }[event.key];
        if (to !== undefined) { if (blocks[to]) blocks[to].focus(); }
        else if (event.key === "Enter" || event.key === " ") play(i);
        else return;
        event.preventDefault();
      });
      block.clip = i;
      blocks.push(block);
    });
    blocks.sort(function (a, b) { return table.scores[a.clip] - table.scores[b.clip]; });
    blocks[0].setAttribute("tabindex", 0);
    asdlib.svg("path", { d: "M" + LEFT + "," + (H - BOTTOM) + "H" + (W - LEFT), stroke: "var(--asd-ink)" }, histogram);
    [0, 0.5, 1].forEach(function (share) {
      var label = asdlib.svg("text", { x: LEFT + (W - 2 * LEFT) * share, y: H - BOTTOM + 15, "text-anchor": ["start", "middle", "end"][2 * share] }, histogram);
      label.textContent = (low + (high - low) * share).toPrecision(3);
    });
    asdlib.svg("text", { x: W / 2, y: H - 4, "text-anchor": "middle" }, histogram).textContent = "score (square: healthy, round: faulty)";
    player.set(table.sounds[blocks[0].clip], table.texts[blocks[0].clip], table.top);
    line = asdlib.svg("path", { stroke: "var(--asd-ink)", "stroke-width": 2.5 }, histogram);
    update();
  }
  function play(i) {
    blocks.forEach(function (block) { block.classList.toggle("playing", block.clip === i); });
    get("told").textContent = table.texts[i] + ", score " + table.scores[i];
    root.dataset.playing = i;
    player.set(table.sounds[i], table.texts[i], table.top);
    asdlib.begin(player.sound);
  }
  function counts(threshold) {
    var c = { found: 0, missed: 0, alarm: 0, quiet: 0 };
    table.scores.forEach(function (score, i) { c[table.faulty[i] ? (score > threshold ? "found" : "missed") : (score > threshold ? "alarm" : "quiet")] += 1; });
    c.tpr = c.found / (c.found + c.missed); c.fpr = c.alarm / (c.alarm + c.quiet);
    return c;
  }
  // The corners of the ROC curve: one threshold above all scores, then one just under each score.
  function corners() {
    var values = Array.from(new Set(table.scores)).sort(function (a, b) { return b - a; });
    return [[0, 0]].concat(values.map(function (value, i) {
      var c = counts(i + 1 < values.length ? (value + values[i + 1]) / 2 : value - 1);
      return [c.fpr, c.tpr];
    }));
  }
  function partial(curve, limit) {
    var area = 0;
    for (var i = 1; i < curve.length; i++) {
      var a = curve[i - 1], b = curve[i], end = Math.min(b[0], limit);
      if (a[0] >= limit) break;
      var height = b[0] > a[0] ? a[1] + (b[1] - a[1]) * (end - a[0]) / (b[0] - a[0]) : b[1];
      area += (end - a[0]) * (a[1] + height) / 2;
    }
    return 0.5 * (1 + (area - limit * limit / 2) / (limit - limit * limit / 2));
  }
  function price(c) {
    var rare = Math.max(0, Math.min(1000, Number(get("rare").value) || 0));
    return rare * (1 - c.tpr) * (Number(get("price").value) || 0) + (1000 - rare) * c.fpr;
  }
  function update() {
    var threshold = low + (high - low) * slider.value / 1000, c = counts(threshold), curve = corners();
    var percent = function (share) { return (100 * share).toFixed(1) + " %"; };
    line.setAttribute("d", "M" + x(threshold) + ",4V" + (H - BOTTOM));
    get("at").textContent = threshold.toPrecision(3);
    slider.setAttribute("aria-valuetext", "score " + threshold.toPrecision(3) + ": " + c.found + " of " + (c.found + c.missed) +
      " faulty clips found, " + c.alarm + " of " + (c.alarm + c.quiet) + " healthy ones alarmed");
    get("found").textContent = c.found + " / " + c.missed;
    get("false").textContent = c.alarm + " / " + c.quiet;
    get("rates").textContent = percent(c.fpr) + " / " + percent(c.tpr);
    get("areas").textContent = percent(asdlib.auc(table.scores, table.faulty)) + " / " + percent(partial(curve, 0.1));
    get("cost").textContent = price(c).toFixed(0) + " (in false alarms)";
    var X = function (fpr) { return 40 + 225 * fpr; }, Y = function (tpr) { return 225 - 215 * tpr; };
    roc.replaceChildren();
    // The area under the curve up to 10 % false alarms.
    var inside = [], i = 0;
    for (; i < curve.length && curve[i][0] <= 0.1; i++) inside.push(curve[i]);
    if (i < curve.length) {
      var a = curve[i - 1], b = curve[i];
      inside.push([0.1, a[1] + (b[1] - a[1]) * (0.1 - a[0]) / (b[0] - a[0])]);
    }
    var walk = function (list) { return list.map(function (p) { return X(p[0]) + "," + Y(p[1]); }).join("L"); };
    asdlib.svg("path", { d: "M" + walk(inside) + "L" + X(0.1) + "," + Y(0) + "L" + X(0) + "," + Y(0) + "Z", fill: "#F0E442", "fill-opacity": 0.6 }, roc);
    asdlib.svg("path", { d: "M" + X(0) + "," + Y(1) + "V" + Y(0) + "H" + X(1), fill: "none", stroke: "var(--asd-ink)" }, roc);
    asdlib.svg("path", { d: "M" + X(0) + "," + Y(0) + "L" + X(1) + "," + Y(1), stroke: "var(--asd-line)", "stroke-dasharray": "4 4" }, roc);
    asdlib.svg("path", { d: "M" + walk(curve), fill: "none", stroke: "var(--asd-blue)", "stroke-width": 2.5 }, roc);
    asdlib.svg("circle", { cx: X(c.fpr), cy: Y(c.tpr), r: 6, fill: "var(--asd-orange)", stroke: "var(--asd-ink)", class: "here" }, roc);
    [["0", X(0), 241], ["1", X(1), 241], ["0", 28, Y(0)], ["1", 28, Y(1) + 8]].forEach(function (t) {
      asdlib.svg("text", { x: t[1], y: t[2], "text-anchor": "middle" }, roc).textContent = t[0];
    });
    asdlib.svg("text", { x: X(0.5), y: 255, "text-anchor": "middle" }, roc).textContent = "false-alarm rate";
    asdlib.svg("text", { x: 14, y: Y(0.5), "text-anchor": "middle", transform: "rotate(-90 14 " + Y(0.5) + ")" }, roc).textContent = "detection rate";
    roc.setAttribute("aria-label", "ROC curve; at this threshold a false-alarm rate of " + percent(c.fpr) + " and a detection rate of " + percent(c.tpr));
  }
  get("machine").addEventListener("change", build);
  ["threshold", "rare", "price"].forEach(function (name) { get(name).addEventListener("input", update); });
  if (Object.keys(data).length < 2) get("machine").parentElement.style.display = "none";
  build();
}
