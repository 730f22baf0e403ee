function (root, data) {
  var get = function (name) { return root.querySelector("." + name); }, STRIDE = 10, KEPT = 6, R = 205, SEATS = 224;
  var clips = data.clips, lists = Array.from(root.querySelectorAll("select")), radios = Array.from(root.querySelectorAll("input[type=radio]"));
  var marks = Array.from(root.querySelectorAll(".legend path")), calm = matchMedia("(prefers-reduced-motion: reduce)");
  var runs = [], ticket = 0, pending = 0, going = false, points;
  var worker = new Worker(URL.createObjectURL(new Blob([data.code + "asdplay.work();"], { type: "text/javascript" })));

  // A run begins anew with whatever is chosen now. One that has been trained stays in the pictures.
  function begin() {
    var chosen = { method: radios.find(function (radio) { return radio.checked; }).value };
    lists.forEach(function (list) { chosen[list.dataset.name] = Number(list.value); });
    runs = runs.filter(function (run) { return run.looks.length > 1; }).slice(1 - KEPT);
    runs.push({ number: runs.length ? current().number + 1 : 1, settings: Object.assign({}, data.settings, chosen), looks: [] });
    going = false;
    pending = 0;
    ticket += 1;
    ask("begin", current().settings);
  }
  function ask(job, what) { pending += 1; worker.postMessage({ run: ticket, job: job, what: what }); }
  function current() { return runs[runs.length - 1]; }
  function now() { var looks = current().looks; return looks[looks.length - 1]; }

  worker.onmessage = function (event) {
    if (event.data.run !== ticket) return; // of a run that is over
    if (event.data.error) return fail(event.data.error);
    pending -= 1;
    var look = event.data.look;
    look.aucs = { distance: mean(look.distances), surprise: look.surprises ? mean(look.surprises) : NaN };
    current().looks.push(look);
    if (look.done) going = false;
    if (!going) return rest();
    if (!calm.matches || look.step % 100 === 0) draw();
    requestAnimationFrame(go);
  };
  worker.onerror = function (event) { fail(event.message); };
  function fail(why) { going = false; get("told").textContent = "Training does not work in this browser: " + why; }
  function go() { if (going && !pending) ask("go", STRIDE); }

  // The AUC of the faults of each machine, and their mean.
  function mean(scores) {
    var sum = 0;
    for (var m = 0; m < clips.machines; m++) {
      var own = clips.asked.labels.map(function (_, i) { return i; }).filter(function (i) { return clips.asked.labels[i] === m; });
      sum += asdlib.auc(own.map(function (i) { return scores[i]; }), own.map(function (i) { return clips.asked.faulty[i]; }));
    }
    return sum / clips.machines;
  }

  function percent(share) { return isNaN(share) ? "" : (100 * share).toFixed(1) + " %"; }
  // Where it stands, in the picture and in words.
  function rest() {
    var look = now();
    draw();
    get("told").textContent = current().looks.length === 1 ? "Untrained. Press start."
      : (look.done ? "Trained" : "Stopped") + " after " + look.step + " of " + current().settings.steps + " steps: "
      + percent(look.right) + " of the new healthy clips lie nearest to their own machine, " + look.own.toFixed(0) + "° from it and "
      + look.other.toFixed(0) + "° from the nearest other one (medians); AUC of the faults by distance "
      + percent(look.aucs.distance) + (isNaN(look.aucs.surprise) ? "." : ", by surprise " + percent(look.aucs.surprise) + ".");
  }
  function draw() {
    var look = now(), run = current();
    points.forEach(function (point, i) {
      point.setAttribute("transform", "translate(" + (R * look.places[2 * i]).toFixed(1) + " " + (R * look.places[2 * i + 1]).toFixed(1) + ")");
    });
    get("now").textContent = "Run " + run.number + ", " + run.settings.method + ", step " + look.step + " of " + run.settings.steps
      + (look.step === 0 ? ", untrained" : look.stage === 1 ? ", stage 1: contrast" : ", stage 2: ArcFace");
    var losses = runs.map(function (run) { return line(run, function (look) { return look.loss; }, ""); });
    var top = Math.ceil(losses.reduce(function (most, one) { return one.places.reduce(function (most, place) { return Math.max(most, place[1]); }, most); }, 1));
    chart(get("losses"), 210, 0, top, [0, top], losses);
    chart(get("aucs"), 250, 40, 100, [40, 50, 60, 70, 80, 90, 100], runs.reduce(function (all, run) {
      return all.concat(line(run, function (look) { return 100 * look.aucs.distance; }, "dashed"), line(run, function (look) { return 100 * look.aucs.surprise; }, ""));
    }, []));
    get("places").setAttribute("aria-label", "Where the clips lie: " + percent(look.right) + " of the healthy ones nearest to their own machine");
    get("losses").setAttribute("aria-label", "Loss over the steps" + (isNaN(look.loss) ? "" : ", now " + look.loss.toFixed(2)));
    get("aucs").setAttribute("aria-label", "AUC over the steps, now " + percent(look.aucs.distance) + " by distance, " + (percent(look.aucs.surprise) || "none") + " by surprise");
    table();
    get("start").textContent = going ? "pause" : "start";
    Object.assign(root.dataset, { step: look.step, run: run.number, stage: look.stage, loss: look.loss, right: look.right,
      distance: look.aucs.distance, surprise: look.aucs.surprise, state: going ? "going" : "still" });
  }
  function line(run, of, kind) {
    var places = run.looks.map(function (look) { return [look.step / run.settings.steps, of(look)]; });
    return { number: run.number, places: places.filter(function (place) { return !isNaN(place[1]); }),
      kind: [kind, run.settings.method === "one stage" ? "one" : "two", run === current() ? "" : "earlier"].join(" ") };
  }

  // Lines over the steps; the number of each run stands at the end of its line.
  function chart(svg, tall, low, high, ticks, lines) {
    var X = function (share) { return 44 + 366 * share; }, Y = function (value) { return tall - 44 - (tall - 60) * (value - low) / (high - low); };
    var text = function (x, y, anchor, words) { asdlib.svg("text", { x: x, y: y, "text-anchor": anchor }, svg).textContent = words; };
    svg.replaceChildren();
    ticks.forEach(function (tick) {
      asdlib.svg("path", { d: "M" + X(0) + "," + Y(tick) + "H" + X(1), class: "grid" }, svg);
      text(X(0) - 6, Y(tick) + 6, "end", tick);
    });
    if (radios.some(function (radio) { return radio.checked && radio.value === "two stages"; })) {
      asdlib.svg("path", { d: "M" + X(0.5) + "," + Y(low) + "V" + Y(high), class: "grid" }, svg);
      text(X(0.25), tall - 4, "middle", "stage 1");
      text(X(0.75), tall - 4, "middle", "stage 2");
    } else text(X(0.5), tall - 4, "middle", "steps");
    text(X(0), tall - 24, "middle", 0);
    text(X(1), tall - 24, "end", data.settings.steps);
    lines.forEach(function (one) {
      if (!one.places.length) return;
      var last = one.places[one.places.length - 1];
      asdlib.svg("path", { d: "M" + one.places.map(function (place) { return X(place[0]).toFixed(1) + "," + Y(place[1]).toFixed(1); }).join("L"), class: "line " + one.kind }, svg);
      text(X(last[0]) + 4, Y(last[1]) + 6, "start", one.number);
    });
  }
  function table() {
    get("runs").querySelector("tbody").replaceChildren.apply(get("runs").querySelector("tbody"), runs.map(function (run) {
      var look = run.looks[run.looks.length - 1], row = document.createElement("tr");
      [run.number, run.settings.method].concat(data.controls.map(function (name) { return run.settings[name]; }), look.step, percent(look.right),
        look.own.toFixed(0) + "°", look.other.toFixed(0) + "°", percent(look.aucs.distance), percent(look.aucs.surprise) || "none").forEach(function (value) {
        row.appendChild(document.createElement("td")).textContent = value;
      });
      return row;
    }));
  }

  // The circle with a seat for each machine, the types named beside them, and a mark for every clip.
  function furnish() {
    var svg = get("places"), types = {};
    asdlib.svg("circle", { r: SEATS, class: "grid" }, svg);
    points = clips.asked.labels.map(function (label, i) {
      var node = svg.appendChild(marks[label].cloneNode());
      node.setAttribute("class", clips.asked.faulty[i] ? "faulty" : "healthy");
      if (clips.asked.faulty[i]) node.setAttribute("stroke", marks[label].getAttribute("fill"));
      return node;
    });
    clips.names.forEach(function (name, m) {
      var seat = svg.appendChild(marks[m].cloneNode()), angle = 2 * Math.PI * m / clips.machines, type = name.split("/")[0];
      seat.setAttribute("class", "seat");
      seat.setAttribute("transform", "translate(" + SEATS * Math.sin(angle) + " " + -SEATS * Math.cos(angle) + ") scale(1.6)");
      (types[type] = types[type] || []).push(angle);
    });
    Object.keys(types).forEach(function (type) {
      var angle = (types[type][0] + types[type][types[type].length - 1]) / 2, x = (SEATS + 20) * Math.sin(angle), y = -(SEATS + 20) * Math.cos(angle);
      asdlib.svg("text", { x: x, y: y + 6, "text-anchor": x < -90 ? "end" : x > 90 ? "start" : "middle" }, svg).textContent = type;
    });
  }

  // As the page's address says, where it says something that can be chosen.
  function restore() {
    var kept = data.name ? asdlib.state.read(data.name) : {};
    radios.forEach(function (radio) { radio.name = root.id; if (radio.value === kept.method) radio.checked = true; });
    lists.forEach(function (list) {
      if (Array.from(list.options).some(function (option) { return option.value === kept[list.dataset.name]; })) list.value = kept[list.dataset.name];
    });
  }
  function changed() {
    if (data.name) {
      var kept = { method: radios.find(function (radio) { return radio.checked; }).value };
      lists.forEach(function (list) { kept[list.dataset.name] = list.value; });
      asdlib.state.write(data.name, kept);
    }
    begin();
  }

  restore();
  furnish();
  root.querySelector("fieldset").hidden = radios.length < 2;
  radios.concat(lists).forEach(function (control) { control.addEventListener("change", changed); });
  get("start").addEventListener("click", function () {
    if (now() && now().done) begin();
    going = !going;
    if (!going && !pending) rest();
    if (!going) return;
    get("start").textContent = "pause";
    get("told").textContent = "Training.";
    go();
  });
  get("step").addEventListener("click", function () { if (!going && !(now() && now().done)) ask("go", STRIDE); });
  get("reset").addEventListener("click", begin);
  worker.postMessage({ job: "load", what: clips });
  begin();
}
