function (root, data) {
  var control = root.querySelector(".stages"), names = Object.keys(data.stages), note = root.querySelector(".note");

  function show(stage) {
    root.querySelectorAll(".moving figure").forEach(function (figure) {
      var kind = figure.dataset.type, places = data.stages[stage][kind], number = (data.silhouettes[stage] || {})[kind];
      figure.querySelectorAll(".point").forEach(function (point, i) {
        point.style.transform = "translate(" + places[i][0] + "px," + places[i][1] + "px)";
      });
      figure.querySelector(".number").textContent = number === undefined ? "" : "silhouette " + number.toFixed(2);
      figure.querySelector("svg").setAttribute("aria-label", data.labels[stage][kind]);
    });
    var numbers = Object.values(data.silhouettes[stage] || {});
    note.textContent = !numbers.length ? "" : "Mean silhouette of the types, " + stage + ": " +
      (numbers.reduce(function (a, b) { return a + b; }) / numbers.length).toFixed(2) + ". (1: every machine on its own; 0: all mixed.)";
    root.dataset.stage = stage;
  }
  asdlib.choices(control, root.id, names, show);
  if (names.length < 2) control.hidden = true;
  show(names[0]);
}
