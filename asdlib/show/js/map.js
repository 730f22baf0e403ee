function (root, data) {
  var points = Array.prototype.slice.call(root.querySelectorAll(".point")), player = asdlib.player(root.querySelector(".player"));
  var told = root.querySelector(".told"), note = root.querySelector(".note"), control = root.querySelector(".stages");
  var names = Object.keys(data.stages), places = data.stages[names[0]];

  // Points of the chosen type fill the frame; the others are hidden.
  function show(name) {
    var type = root.querySelector(".types").value, low = [Infinity, Infinity], high = [-Infinity, -Infinity];
    var shown = points.map(function (point) { return !type || point.dataset.type === type; });
    data.stages[name].forEach(function (place, i) {
      if (shown[i]) [0, 1].forEach(function (k) { low[k] = Math.min(low[k], place[k]); high[k] = Math.max(high[k], place[k]); });
    });
    places = data.stages[name].map(function (place) {
      if (!type) return place;
      return place.map(function (value, k) {
        return Math.round(data.margin + (value - low[k]) / (high[k] - low[k] || 1) * (data.size[k] - 2 * data.margin));
      });
    });
    points.forEach(function (point, i) {
      point.style.transform = "translate(" + places[i][0] + "px," + places[i][1] + "px)";
      point.style.display = shown[i] ? "" : "none";
    });
    note.textContent = data.notes[name] || "";
    root.dataset.stage = name;
  }
  function play(i) {
    points.forEach(function (point, k) { point.classList.toggle("playing", k === i); });
    root.dataset.playing = i;
    player.set(data.sounds[i], data.texts[i], data.top);
    asdlib.begin(player.sound);
  }
  function focus(i) {
    points.forEach(function (point, k) { point.setAttribute("tabindex", k === i ? 0 : -1); });
    points[i].focus();
    told.textContent = data.texts[i] + around(i);
  }
  // The clips that lie nearest: what is seen of a map at a glance, in words.
  function around(i) {
    var nearest = places.map(function (place, k) { return [Math.hypot(place[0] - places[i][0], place[1] - places[i][1]), k]; });
    nearest = nearest.filter(function (one) { return one[1] !== i && points[one[1]].style.display !== "none"; });
    nearest.sort(function (a, b) { return a[0] - b[0] || a[1] - b[1]; });
    return nearest.length ? ". Nearest: " + nearest.slice(0, 3).map(function (one) { return data.texts[one[1]]; }).join("; ") + "." : "";
  }
  // The nearest point that lies more in the key's direction than beside it.
  function neighbour(i, dx, dy) {
    var best = i, shortest = Infinity;
    places.forEach(function (place, k) {
      var x = place[0] - places[i][0], y = place[1] - places[i][1], along = x * dx + y * dy, aside = Math.abs(x * dy - y * dx);
      if (k === i || points[k].style.display === "none" || along <= 0 || aside > along) return;
      if (along + aside < shortest) { shortest = along + aside; best = k; }
    });
    return best;
  }
  asdlib.choices(control, root.id, names, show);
  if (names.length < 2) control.style.display = "none";
  root.querySelector(".types").addEventListener("change", function () { show(root.dataset.stage); });
  points.forEach(function (point, i) {
    point.addEventListener("click", function () { focus(i); play(i); });
    point.addEventListener("focus", function () { told.textContent = data.texts[i] + around(i); });
    point.addEventListener("mouseenter", function () { told.textContent = data.texts[i]; });
    point.addEventListener("keydown", function (event) {
      var directions = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
      if (event.key in directions) focus(neighbour(i, directions[event.key][0], directions[event.key][1]));
      else if (event.key === "Enter" || event.key === " ") play(i);
      else return;
      event.preventDefault();
    });
  });
  show(names[0]);
  player.set(data.sounds[0], data.texts[0], data.top);
}
