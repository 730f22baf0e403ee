function (root, data) {
  var get = function (name) { return root.querySelector("." + name); }, asker = {}, tops = {}, engine, heard, sounding;
  var values = function () {
    var found = { machine: get("machine").value, fault: get("fault").value, env: Object.assign({}, data.env) };
    root.querySelectorAll("input[type=range]").forEach(function (input) {
      var name = input.dataset.name, value = Number(input.value);
      input.nextElementSibling.textContent = value + (input.dataset.unit ? " " + input.dataset.unit : "");
      if (name === "severity" || name === "moment") found[name] = value; else found.env[name] = value;
    });
    return Object.assign({ severity: 0, moment: 1 }, found);
  };

  // The faults of the chosen machine's type; the same one stays chosen where the type has it.
  function offer() {
    var type = engine.park[get("machine").value.split("/")[0]], before = get("fault").value;
    get("fault").replaceChildren.apply(get("fault"), [""].concat(Object.keys(type.faults)).map(function (name) {
      var option = new Option(name || "none", name);
      option.selected = name === before;
      return option;
    }));
  }

  function make() {
    var what = values();
    if (data.name) {
      var kept = { machine: what.machine, fault: what.fault };
      root.querySelectorAll("input[type=range]").forEach(function (input) { kept[input.dataset.name] = input.value; });
      asdlib.state.write(data.name, kept);
    }
    root.dataset.state = "asked";
    engine.ask(asker, "clip", what).then(function (answer) {
      show(answer, what.machine, what.fault && what.severity ? what.fault + ", severity " + what.severity : "healthy", false);
    });
  }
  function show(answer, machine, what, own) {
    var at = engine.about.machines.indexOf(machine), score = answer.scores[at], limit = threshold(machine);
    heard = answer.waveform;
    var alarm = limit === undefined ? "" : score > limit ? "ALARM" : "no alarm";
    get("verdict").textContent = machine + ", " + what + ": score " + score.toPrecision(3) + (alarm && ", " + alarm);
    get("verdict").classList.toggle("alarm", alarm === "ALARM");
    scale(get("dial"), score, limit);
    picture("logmel", answer.logMel);
    picture("tgram", answer.tgram);
    bars(get("bars"), answer.scores, at);
    near(answer, machine);
    root.dataset.score = score;
    root.dataset.alarm = alarm;
    root.dataset.milliseconds = answer.milliseconds;
    root.dataset.state = "answered";
    root.dispatchEvent(new CustomEvent("heard", { detail: { machine: machine, what: values(), alarm: alarm === "ALARM", own: own } }));
  }
  function threshold(machine) {
    var own = data.thresholds[machine];
    return own === undefined ? (engine.about.thresholds[machine] || {}).softmax : own;
  }

  // The score on a line from 0 to the largest that the slider may reach, and the threshold as a mark on it.
  function scale(svg, score, limit) {
    var W = 600, top = data.largest, x = function (value) { return 10 + (W - 20) * Math.min(1, value / top); };
    svg.replaceChildren();
    asdlib.svg("rect", { x: 10, y: 14, width: W - 20, height: 12, fill: "#e6e6e6" }, svg);
    asdlib.svg("rect", { x: 10, y: 14, width: x(score) - 10, height: 12, fill: score > limit ? "#D55E00" : "#0072B2" }, svg);
    [0, 0.25, 0.5, 0.75, 1].forEach(function (share) {
      asdlib.svg("text", { x: x(share * top), y: 42, "text-anchor": share === 0 ? "start" : share === 1 ? "end" : "middle" }, svg).textContent = Math.round(share * top);
    });
    if (limit === undefined) return;
    asdlib.svg("path", { d: "M" + x(limit) + ",8V32", stroke: "#000", "stroke-width": 2 }, svg);
    asdlib.svg("text", { x: x(limit), y: 8, "text-anchor": "middle", class: "limit" }, svg).textContent = "alarm above";
  }

  // Levels (mels * frames,) over seconds, the lowest band at the bottom, 70 dB of log-mel or all of a Tgram in its colours.
  // The colours of the log-mel stay those of the first clip, so that what is louder looks louder.
  function picture(name, levels) {
    var features = engine.about.features, mels = features.mels, frames = levels.length / mels, LEFT = 46, BOTTOM = 36, TOP = 8, RIGHT = 10;
    var canvas = get(name), W = canvas.width, H = canvas.height, wide = W - LEFT - RIGHT, tall = H - TOP - BOTTOM, pen = canvas.getContext("2d");
    var most = levels.reduce(function (a, b) { return Math.max(a, b); }), least = levels.reduce(function (a, b) { return Math.min(a, b); });
    if (name === "logmel") { tops[name] = tops[name] || most; most = tops[name]; least = most - 70; }
    var image = pen.createImageData(wide, tall);
    for (var y = 0; y < tall; y++) for (var x = 0; x < wide; x++) {
      var level = levels[Math.floor((tall - 1 - y) / tall * mels) * frames + Math.floor(x / wide * frames)], share = (level - least) / (most - least || 1);
      var colour = parseInt(asdlib.look.colours.substr(6 * Math.max(0, Math.min(255, Math.floor(256 * share))), 6), 16);
      image.data.set([colour >> 16, colour >> 8 & 255, colour & 255, 255], 4 * (y * wide + x));
    }
    pen.fillStyle = "#fff"; pen.fillRect(0, 0, W, H);
    pen.putImageData(image, LEFT, TOP);
    pen.fillStyle = "#222"; pen.font = "14px sans-serif";
    var seconds = features.samples / features.rate;
    [0, 0.5, 1].forEach(function (share) {
      pen.textAlign = share === 0 ? "left" : share === 1 ? "right" : "center";
      pen.fillText(seconds * share, LEFT + wide * share, H - BOTTOM + 15);
    });
    pen.textAlign = "center"; pen.fillText("seconds", LEFT + wide * 0.25, H - BOTTOM + 15 + 14);
    pen.textAlign = "right";
    ticks(name, features).forEach(function (tick) { pen.fillText(tick[1], LEFT - 5, TOP + tall * (1 - tick[0]) + 5); });
    pen.save(); pen.translate(13, TOP + tall / 2); pen.rotate(-Math.PI / 2); pen.textAlign = "center";
    pen.fillText(name === "logmel" ? "kHz" : "band", 0, 0); pen.restore();
  }
  // Where on the vertical axis (0 to 1) which label stands: kHz on the mel scale, or bands, which have no frequency of their own.
  function ticks(name, features) {
    if (name !== "logmel") return [0, 0.5, 1].map(function (share) { return [share, Math.round(share * features.mels)]; });
    var mel = function (hertz) { return Math.log10(1 + hertz / 700); };
    return [0, 0.5, 1, 2, 4, 8].filter(function (kilo) { return 2000 * kilo <= features.rate; }).map(function (kilo) {
      return [mel(1000 * kilo) / mel(features.rate / 2), kilo];
    });
  }

  // The scores of the clip as each machine: the lowest bar is the machine that it sounds like.
  function bars(svg, scores, own) {
    var names = engine.about.machines, top = Math.max.apply(null, scores), wide = 600 / scores.length;
    svg.replaceChildren();
    scores.forEach(function (score, i) {
      var bar = asdlib.svg("rect", { x: i * wide + 1, y: 240 - 236 * score / top, width: wide - 2, height: 236 * score / top, fill: i === own ? "#D55E00" : "#8a8a8a" }, svg);
      asdlib.svg("title", {}, bar).textContent = names[i] + ": " + score.toPrecision(3);
    });
    var nearest = names[scores.indexOf(Math.min.apply(null, scores))];
    get("likest").textContent = "Of all machines it sounds most like " + nearest + ".";
  }

  // The distance to the machine's two nearest training clips; on the map, the middle of the five nearest of all machines.
  function near(answer, machine) {
    var own = answer.neighbours, distance = (own[0].distance + own[1].distance) / 2, usual = data.usual[machine];
    get("near").textContent = "Cosine distance to its two nearest training clips: " + distance.toFixed(3)
      + (usual === undefined ? "." : "; new healthy ones have at most " + usual.toFixed(3) + ".");
    root.dataset.distance = distance;
    if (!data.places) return;
    var places = answer.around.map(function (one) { return data.places[one.machine][one.clip]; });
    var middle = [0, 1].map(function (k) { return places.reduce(function (sum, place) { return sum + place[k] / places.length; }, 0); });
    get("here").style.transform = "translate(" + middle[0] + "px," + middle[1] + "px)";
  }

  function play() {
    if (!heard) return;
    if (sounding) sounding.close();
    sounding = new AudioContext();
    var source = sounding.createBufferSource(), buffer = sounding.createBuffer(1, heard.length, engine.about.features.rate);
    buffer.copyToChannel(heard, 0);
    source.buffer = buffer;
    source.connect(sounding.destination);
    source.onended = function () { root.dataset.played = "yes"; };
    source.start();
  }

  // As the page's address says, where it says something of this machine.
  function restore() {
    var kept = data.name ? asdlib.state.read(data.name) : {};
    if (kept.machine && Array.from(get("machine").options).some(function (o) { return o.value === kept.machine; })) get("machine").value = kept.machine;
    offer();
    get("fault").value = kept.fault === undefined ? data.fault : kept.fault;
    root.querySelectorAll("input[type=range]").forEach(function (input) { if (kept[input.dataset.name] !== undefined) input.value = kept[input.dataset.name]; });
  }

  // Any sound of the reader's own, brought to the rate of the detector by the browser.
  function own(bytes, name) {
    new OfflineAudioContext(1, 1, engine.about.features.rate).decodeAudioData(bytes).then(function (decoded) {
      var seconds = engine.about.features.samples / engine.about.features.rate, long = decoded.duration;
      var part = long > seconds ? "the first " + seconds + " of its " + long.toFixed(1) + " s" : long < seconds ? long.toFixed(1) + " s, repeated" : long.toFixed(1) + " s";
      judge(decoded.getChannelData(0), name + " (" + part + ")");
    }, function () { tell(name + " is no sound that this browser can read: try a WAV file."); });
  }
  function judge(waveform, name) {
    var machine = get("machine").value;
    engine.ask(asker, "sound", { waveform: waveform, machine: machine }).then(function (answer) { show(answer, machine, name, true); });
  }
  function tell(text) { get("verdict").textContent = text; get("verdict").classList.remove("alarm"); }

  // Two seconds from the microphone. From a page on disk, Chromium gives it, others refuse.
  function record() {
    var features = engine.about.features, asked = navigator.mediaDevices, plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    if (!asked) return tell("This browser gives no microphone to a page that lies on disk: choose a file, or open the page in Chromium.");
    asked.getUserMedia({ audio: plain }).then(function (stream) {
      var context = new AudioContext({ sampleRate: features.rate }), heard = new Float32Array(features.samples), at = 0;
      var tap = "registerProcessor('tap', class extends AudioWorkletProcessor { process(i) { if (i[0][0]) this.port.postMessage(i[0][0].slice()); return true; } })";
      // A data: address, because a page on disk may not load a worklet from a blob.
      context.audioWorklet.addModule("data:text/javascript," + encodeURIComponent(tap)).then(function () {
        var node = new AudioWorkletNode(context, "tap");
        tell("Listening for " + features.samples / features.rate + " s ...");
        node.port.onmessage = function (event) {
          if (at >= heard.length) return;
          var piece = event.data.subarray(0, heard.length - at);
          heard.set(piece, at); at += piece.length;
          if (at < heard.length) return;
          stream.getTracks().forEach(function (track) { track.stop(); });
          context.close();
          judge(heard, "your microphone");
        };
        context.createMediaStreamSource(stream).connect(node).connect(context.destination);
      });
    }, function (error) { tell("No microphone (" + error.name + "): allow it for this page, or choose a file."); });
  }

  asdlib.engine.get().then(function (found) {
    engine = found;
    if (get("file")) {
      get("file").addEventListener("change", function () {
        var file = this.files[0];
        if (file) file.arrayBuffer().then(function (bytes) { own(bytes, file.name); });
      });
      get("record").addEventListener("click", record);
    }
    restore();
    get("machine").addEventListener("change", function () { offer(); make(); });
    root.querySelectorAll("input[type=range], .fault").forEach(function (input) { input.addEventListener("input", make); });
    get("play").addEventListener("click", play);
    make();
  });
}
