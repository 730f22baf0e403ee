function (root, data) {
  // From which severity on the reader hears each fault, of the machine before it on the page; kept in the page's address.
  var machine = asdlib.machineBefore(root), last, kept = asdlib.state.read(data.name), told = root.querySelector(".told");

  function show() {
    var rows = Object.keys(kept).map(function (fault) {
      var row = document.createElement("tr"), name = document.createElement("th");
      name.scope = "row";
      name.textContent = fault;
      row.append(name, document.createElement("td"));
      row.lastChild.textContent = kept[fault];
      return row;
    });
    root.querySelector("table").hidden = !rows.length;
    root.querySelector("tbody").replaceChildren.apply(root.querySelector("tbody"), rows);
  }
  function tell(text) { told.textContent = text; }

  if (machine) machine.addEventListener("heard", function (event) { last = event.detail; });
  root.querySelector(".now").addEventListener("click", function () {
    if (!last || last.own || !last.what.fault || !last.what.severity) return tell("Choose a fault, and turn up its severity, first.");
    var fault = last.machine + ", " + last.what.fault;
    kept[fault] = last.what.severity;
    asdlib.state.write(data.name, kept);
    show();
    tell("You hear it from severity " + kept[fault] + " on. The faulty recordings have " + data.average.toFixed(1) + " on average.");
  });
  show();
}
