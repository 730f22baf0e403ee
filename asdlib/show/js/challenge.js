function (root, data) {
  // Two records, each with the settings that made it: the mildest fault that raised an alarm and could not be heard, and the
  // strongest that could be heard and raised none. They stay in the page's address.
  var machine = asdlib.machineBefore(root), last, best = asdlib.state.read(data.name);
  var told = root.querySelector(".told"), buttons = { caught: root.querySelector(".caught"), missed: root.querySelector(".missed") };

  function show() {
    Object.keys(buttons).forEach(function (kind) {
      var cells = root.querySelectorAll("." + kind + "-row td"), kept = (best[kind] || "").split("|");
      [0, 1, 2].forEach(function (i) { cells[i].textContent = kept[i] || "none yet"; });
    });
  }
  function claim(kind) {
    if (!last || last.own || !last.what.fault || !last.what.severity) return tell("Choose a fault, and turn up its severity, first.");
    if ((kind === "caught") !== last.alarm) return tell(last.alarm ? "It raises the alarm: it is not missed." : "There is no alarm: it is not caught.");
    var severity = last.what.severity, before = best[kind] ? Number(best[kind].split("|")[0]) : NaN;
    if (kind === "caught" ? severity >= before : severity <= before) return tell("Your record is severity " + before + " already.");
    best[kind] = [severity, last.what.fault, last.machine].join("|");
    asdlib.state.write(data.name, best);
    root.dispatchEvent(new CustomEvent("record", { bubbles: true, detail: { kind: kind, record: best[kind] } }));
    show();
    tell("A new record. Nothing was sent anywhere.");
  }
  function tell(text) { told.textContent = text; }

  if (machine) machine.addEventListener("heard", function (event) { last = event.detail; });
  Object.keys(buttons).forEach(function (kind) { buttons[kind].addEventListener("click", function () { claim(kind); }); });
  show();
}
