function (root, data) {
  var head = root.querySelector(".standings thead tr"), body = root.querySelector(".standings tbody"), svg = root.querySelector(".cost");
  var player = data.sounds.length ? asdlib.player(root.querySelector(".player")) : null;
  var budget = data.budgets[0][0], chosen = null, by = "auc", down = true;
  var APART = 0.2;  // of the healthy clips: so far from what the others make of it is a clip that one finds alone, or misses
  var columns = [
    ["method", "method", function (row) { return row.method; }],
    ["auc", "AUC (%)", function (row) { return pair(row.auc); }],
    ["interval", "95 %", function (row) { return row.interval[0].toFixed(1) + " to " + row.interval[1].toFixed(1); }],
    ["pauc", "pAUC (%)", function (row) { return pair(row.pauc); }],
    ["mauc", "mAUC (%)", function (row) { return pair(row.mauc); }],
    ["rank", "rank", function (row) { return row.rank === null ? "" : row.rank.toFixed(1); }],
    ["seconds", "CPU s", function (row) { return row.seconds.toFixed(row.seconds < 10 ? 1 : 0); }],
    ["parameters", "weights (k)", function (row) { return Math.round(row.parameters / 1000).toLocaleString("en"); }],
    ["macs", "products (M)", function (row) { return row.macs ? row.macs.toLocaleString("en", { maximumFractionDigits: row.macs < 10 ? 1 : 0 }) : ""; }],
    ["memory", "MB", function (row) { return row.memory.toLocaleString("en"); }]
  ];
  if (data.against) {
    columns.splice(3, 0, ["gain", "ahead of " + data.against, function (row) {
      return row.gain ? (row.gain[0] < 0 ? "−" : "+") + Math.abs(row.gain[0]).toFixed(1) + (row.p <= 0.05 ? " *" : "") : "";
    }]);
    root.querySelector(".sure").textContent = "* A difference that other clips " + (data.seeds > 1 ? "and other seeds would show, too" : "would show, too; of other seeds one seed says nothing") + " (5 % for all of them together, Holm).";
  }
  if (data.rows.some(function (row) { return row.rehearsal; })) {
    columns.splice(columns.length - 4, 0, ["rehearsal", "rehearsal (%)", function (row) { return row.rehearsal ? pair(row.rehearsal) : ""; }]);
  }
  function pair(values) { return values[0].toFixed(1) + (values[1] ? " ± " + values[1].toFixed(1) : ""); }
  function value(row) { return Array.isArray(row[by]) ? row[by][0] : row[by] || 0; }
  function shown() { return data.rows.filter(function (row) { return row.budget === budget; }); }

  function table() {
    var rows = shown().sort(function (a, b) {
      var x = value(a), y = value(b), order = x < y ? -1 : x > y ? 1 : 0;
      return down ? -order : order;
    });
    head.querySelectorAll("th").forEach(function (cell) {
      if (cell.dataset.column === by) cell.setAttribute("aria-sort", down ? "descending" : "ascending"); else cell.removeAttribute("aria-sort");
    });
    body.replaceChildren();
    rows.forEach(function (row) {
      var line = document.createElement("tr");
      line.classList.toggle("chosen", row.key === chosen);
      columns.forEach(function (column, i) {
        var cell = document.createElement(i ? "td" : "th");
        if (i) cell.textContent = column[2](row);
        if (column[0] === "gain" && row.gain) cell.title = row.gain[1].toFixed(1) + " to " + row.gain[2].toFixed(1);
        if (i && row.intervals[column[0]]) cell.title = row.intervals[column[0]].map(function (x) { return x.toFixed(1); }).join(" to ");
        if (column[0] === "seconds") cell.title = row.train + " s to train, the rest to score";
        if (!i) {
          var button = document.createElement("button");
          button.type = "button";
          button.textContent = column[2](row);
          button.setAttribute("aria-pressed", row.key === chosen);
          button.addEventListener("click", function () { choose(row.key); });
          cell.scope = "row";
          cell.append(button);
        }
        line.append(cell);
      });
      body.append(line);
    });
  }
  function sortBy(name) {
    down = by === name ? !down : ["auc", "interval", "gain", "pauc", "mauc", "rehearsal"].indexOf(name) >= 0;
    by = name;
    table();
  }

  // Seconds along a logarithmic axis, AUC upwards.
  function picture() {
    var rows = shown(), times = rows.map(function (row) { return Math.max(0.1, row.seconds); });
    var areas = rows.map(function (row) { return row.auc[0]; });
    var left = Math.floor(Math.log10(Math.min.apply(null, times))), right = Math.max(left + 1, Math.ceil(Math.log10(Math.max.apply(null, times))));
    var low = Math.floor(Math.min.apply(null, areas) / 5) * 5, high = Math.max(low + 5, Math.ceil(Math.max.apply(null, areas) / 5) * 5);
    function x(time) { return 46 + 360 * (Math.log10(time) - left) / (right - left); }
    function y(area) { return 258 - 244 * (area - low) / (high - low); }
    svg.replaceChildren();
    svg.setAttribute("aria-label", "AUC of " + rows.length + " methods against the seconds that they take");
    for (var power = left; power <= right; power++) {
      asdlib.svg("line", { x1: x(Math.pow(10, power)), x2: x(Math.pow(10, power)), y1: 14, y2: 258, "class": "grid" }, svg);
      asdlib.svg("text", { x: x(Math.pow(10, power)), y: 276, "text-anchor": "middle" }, svg).textContent = Number(Math.pow(10, power).toPrecision(1));
    }
    for (var area = low; area <= high; area += (high - low) / 5) {
      asdlib.svg("line", { x1: 46, x2: 406, y1: y(area), y2: y(area), "class": "grid" }, svg);
      asdlib.svg("text", { x: 40, y: y(area) + 4, "text-anchor": "end" }, svg).textContent = Number(area.toFixed(1));
    }
    asdlib.svg("text", { x: 226, y: 294, "text-anchor": "middle" }, svg).textContent = "seconds of a core";
    var marks = rows.map(function (row, i) {
      var beaten = rows.some(function (other, k) { return areas[k] >= areas[i] && times[k] <= times[i] && (areas[k] > areas[i] || times[k] < times[i]); });
      var dot = asdlib.svg("circle", { cx: x(times[i]), cy: y(areas[i]), r: row.key === chosen ? 8 : 6, "class": "dot" + (beaten ? "" : " ahead") + (row.key === chosen ? " chosen" : "") }, svg);
      asdlib.svg("title", {}, dot).textContent = row.method + ": " + pair(row.auc) + " %, " + row.seconds + " s";
      dot.addEventListener("click", function () { choose(row.key); });
      return { row: row, x: x(times[i]), y: y(areas[i]), named: row.key === chosen || !beaten };
    });
    // Names where they hide neither a dot nor another name; the chosen one comes first.
    var taken = marks.map(function (mark) { return [mark.x - 7, mark.y - 7, mark.x + 7, mark.y + 7]; });
    marks.sort(function (a, b) { return (b.row.key === chosen) - (a.row.key === chosen); }).forEach(function (mark) {
      if (!mark.named) return;
      var wide = 7.2 * mark.row.method.length, places = [[11, 4], [-11 - wide, 4], [-wide / 2, -12], [-wide / 2, 21]];
      var place = places.filter(function (at) {
        var box = [mark.x + at[0], mark.y + at[1] - 11, mark.x + at[0] + wide, mark.y + at[1] + 3];
        return box[0] > 42 && box[2] < 425 && taken.every(function (t) { return t[0] > box[2] || t[2] < box[0] || t[1] > box[3] || t[3] < box[1]; });
      })[0];
      if (!place) return;
      taken.push([mark.x + place[0], mark.y + place[1] - 11, mark.x + place[0] + wide, mark.y + place[1] + 3]);
      asdlib.svg("text", { x: mark.x + place[0], y: mark.y + place[1] }, svg).textContent = mark.row.method;
    });
  }

  // Mean ranks over the machines, each with half of the distance that tells two apart to either side.
  function ranks() {
    var about = data.ranks[budget], drawing = root.querySelector(".ranks"), figure = drawing.parentNode;
    figure.hidden = !about;
    if (!about) return;
    var rows = shown().filter(function (row) { return row.rank !== null; }).sort(function (a, b) { return a.rank - b.rank; });
    var count = rows.length, tall = 24 * count + 40;
    function x(rank) { return 150 + 270 * (rank - 1) / (count - 1); }
    drawing.setAttribute("viewBox", "0 0 440 " + tall);
    drawing.setAttribute("aria-label", "Mean ranks of " + count + " methods over " + about.blocks + " machines");
    drawing.replaceChildren();
    for (var rank = 1; rank <= count; rank += Math.max(1, Math.round((count - 1) / 6))) {
      asdlib.svg("line", { x1: x(rank), x2: x(rank), y1: 6, y2: tall - 32, "class": "grid" }, drawing);
      asdlib.svg("text", { x: x(rank), y: tall - 16, "text-anchor": "middle" }, drawing).textContent = rank;
    }
    rows.forEach(function (row, i) {
      var y = 18 + 24 * i, mine = row.key === chosen ? " chosen" : "";
      var low = Math.max(1, row.rank - about.distance / 2), high = Math.min(count, row.rank + about.distance / 2);
      asdlib.svg("line", { x1: x(low), x2: x(high), y1: y, y2: y, "class": "reach" + mine }, drawing);
      asdlib.svg("circle", { cx: x(row.rank), cy: y, r: 5, "class": "dot ahead" + mine }, drawing);
      asdlib.svg("text", { x: 140, y: y + 4, "text-anchor": "end" }, drawing).textContent = row.method;
    });
    figure.querySelector(".apart").textContent = "Mean rank over " + about.blocks + " machines, 1 the best. Two methods can be told apart where their lines do not touch (Nemenyi, 5 %; Friedman p " + (about.p < 0.001 ? "below 0.001" : "= " + about.p.toFixed(3)) + ").";
  }

  // What this method makes of a clip, and all the others on average.
  function apart(clip) {
    var of = clip.above[budget], keys = Object.keys(of).filter(function (key) { return key !== chosen; });
    var mean = keys.reduce(function (sum, key) { return sum + of[key]; }, 0) / keys.length;
    return { clip: clip, own: of[chosen], others: mean };
  }
  function list(box, clips, empty) {
    box.replaceChildren();
    if (!clips.length) { var none = document.createElement("li"); none.textContent = empty; box.append(none); }
    clips.forEach(function (one) {
      var item = document.createElement("li"), button = document.createElement("button");
      var text = one.clip.text + ": above " + Math.round(100 * one.own) + " % of the healthy clips, for the others above " + Math.round(100 * one.others) + " %";
      button.type = "button";
      button.textContent = text;
      button.addEventListener("click", function () {
        root.querySelector(".told").textContent = one.clip.text;
        player.set(one.clip.sound, one.clip.text, data.top);
        asdlib.begin(player.sound);
        root.dataset.playing = one.clip.text;
      });
      item.append(button);
      box.append(item);
    });
  }
  function hear() {
    var row = shown().filter(function (one) { return one.key === chosen; })[0];
    root.querySelector(".about h3").textContent = row ? row.name : "";
    root.querySelector(".idea").textContent = row ? (row.idea ? row.idea + ". " : "") + row.paper + ". Its score: " + row.scorer + "." : "";
    if (!player) return;
    var machine = root.querySelector(".machines").value;
    var clips = data.sounds.filter(function (clip) { return clip.machine === machine; }).map(apart);
    var ahead = clips.filter(function (one) { return one.own >= one.others + APART; }).sort(function (a, b) { return (b.own - b.others) - (a.own - a.others); });
    var behind = clips.filter(function (one) { return one.own <= one.others - APART; }).sort(function (a, b) { return (a.own - a.others) - (b.own - b.others); });
    list(root.querySelector(".finds"), ahead.slice(0, 3), "none that can be heard here");
    list(root.querySelector(".misses"), behind.slice(0, 3), "none that can be heard here");
  }
  function choose(key) { chosen = key; root.dataset.chosen = key; table(); picture(); ranks(); hear(); }

  columns.forEach(function (column) {
    var cell = document.createElement("th"), button = document.createElement("button");
    button.type = "button";
    button.textContent = column[1];
    button.addEventListener("click", function () { sortBy(column[0]); });
    cell.scope = "col";
    cell.dataset.column = column[0];
    cell.append(button);
    head.append(cell);
  });
  var names = {};
  data.budgets.forEach(function (one) { names[one[1]] = one[0]; });
  asdlib.choices(root.querySelector(".budgets"), root.id, Object.keys(names), function (title) {
    budget = names[title];
    choose(shown().some(function (row) { return row.key === chosen; }) ? chosen : shown()[0].key);
  });
  if (data.budgets.length < 2) root.querySelector(".budgets").parentNode.style.display = "none";
  if (player) {
    root.querySelector(".machines").addEventListener("change", hear);
    player.set(data.sounds[0].sound, data.sounds[0].text, data.top);
  }
  var first = shown().reduce(function (best, row) { return row.auc[0] > best.auc[0] ? row : best; });
  choose(first.key);
}
