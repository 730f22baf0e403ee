function (root, data) {
  // Two records, each with the setting that made it (severity|fault|machine|the other controls): the mildest fault that raised an
  // alarm and could not be heard, and the strongest that could be heard and raised none. The reader's own stay in the address and
  // in the browser (book/_ext/progress.js); what the address says and the browser has not kept was sent by somebody.
  var machine = asdlib.machineBefore(root), told = root.querySelector(".told"), last;
  var own = Object.assign({}, (window.asdKept || {})[data.name]), found = asdlib.state.read(data.name), sent = {};
  ["caught", "missed"].forEach(function (kind) {
    if (found[kind] && found[kind] !== own[kind]) sent[kind] = found[kind];
    root.querySelector("button." + kind).addEventListener("click", function () { claim(kind); });
    [[own, "-own"], [sent, "-sent"]].forEach(function (whose) {
      root.querySelector("." + kind + whose[1] + " button").addEventListener("click", function () { set(whose[0][kind]); });
    });
  });

  function show() {
    ["caught", "missed"].forEach(function (kind) {
      fill(root.querySelector("." + kind + "-own"), own[kind]);
      fill(root.querySelector("." + kind + "-sent"), sent[kind]);
      root.querySelector("." + kind + "-sent").hidden = !sent[kind];
    });
  }
  function fill(row, record) {
    var parts = (record || "").split("|");
    row.querySelectorAll("td").forEach(function (cell, i) { if (i < 3) cell.textContent = parts[i] || "none yet"; });
    row.querySelector("button").hidden = !record;
  }
  // The machine above as the record had it.
  function set(record) {
    var parts = record.split("|"), setting = { severity: parts[0], fault: parts[1], machine: parts[2] };
    new URLSearchParams(parts[3] || "").forEach(function (value, key) { setting[key] = value; });
    machine.dispatchEvent(new CustomEvent("set", { detail: setting }));
    tell("The machine above is set so.");
  }
  function claim(kind) {
    var now = last;
    if (!now || now.own || !now.what.fault || !now.what.severity) return tell("Choose a fault, and turn up its severity, first.");
    if ((kind === "caught") !== now.alarm) return tell(now.alarm ? "It raises the alarm: it is not missed." : "There is no alarm: it is not caught.");
    var severity = now.what.severity, before = own[kind] ? parseFloat(own[kind]) : NaN;
    if (kind === "caught" ? severity >= before : severity <= before) return tell("Your record is severity " + before + " already.");
    if (kind === "missed") return keep(kind, now);
    // An alarm that comes without the fault, too, has not caught it.
    asdlib.engine.get().then(function (engine) {
      return engine.ask({}, "clip", Object.assign({}, now.what, { severity: 0 })).then(function (healthy) {
        if (healthy.scores[engine.about.machines.indexOf(now.machine)] > now.limit) tell("It raises the alarm without the fault, too: that is a false alarm.");
        else keep(kind, now);
      });
    }).catch(function (error) { tell("This could not be checked: " + error.message); });
  }
  function keep(kind, now) {
    var others = Object.assign({}, now.setting);
    ["machine", "fault", "severity"].forEach(function (name) { delete others[name]; });
    own[kind] = [now.what.severity, now.what.fault, now.machine, new URLSearchParams(others)].join("|");
    asdlib.state.write(data.name, own);
    root.dispatchEvent(new CustomEvent("record", { bubbles: true, detail: { kind: kind, record: own[kind] } }));
    show();
    tell("Your record. The button below copies a link to it: whoever opens it has it to beat. Nothing was sent anywhere.");
  }
  function tell(text) { told.textContent = text; }

  if (machine) machine.addEventListener("heard", function (event) { last = event.detail; });
  show();
  if (Object.keys(sent).length) tell("Somebody has sent you a record to beat.");
}
