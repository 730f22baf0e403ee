function (root, data) {
  var get = function (name) { return root.querySelector("." + name); }, asker = {}, engine, heard, sounding, top;
  var palette = asdlib.look.colours.match(/.{6}/g).map(function (colour) { return parseInt(colour, 16); });
  var values = function () {
    var found = { machine: get("machine").value, fault: get("fault").value, env: Object.assign({}, data.env) };
    root.querySelectorAll("input[type=range]").forEach(function (input) {
      var name = input.dataset.name, value = Number(input.value);
      input.nextElementSibling.textContent = value + (input.dataset.unit ? " " + input.dataset.unit : "");
      input.setAttribute("aria-valuetext", input.nextElementSibling.textContent);
      if (name === "severity" || name === "moment") found[name] = value; else found.env[name] = value;
    });
    return Object.assign({ severity: 0, moment: 1 }, found);
  };

  // The faults of the chosen machine's type; the same one stays chosen where the type has it.
  function offer() {
    var faults = Object.keys(engine.park[get("machine").value.split("/")[0]].faults), before = get("fault").value;
    get("fault").replaceChildren.apply(get("fault"), [""].concat(faults).map(function (name) { return new Option(name || "none", name); }));
    get("fault").value = !before || faults.includes(before) ? before : faults[0]; // another type has other faults
  }

  // What the controls say, by their names.
  function setting() {
    var found = { machine: get("machine").value, fault: get("fault").value };
    root.querySelectorAll("input[type=range]").forEach(function (input) { found[input.dataset.name] = input.value; });
    return found;
  }
  function turned() {
    if (data.name) asdlib.state.write(data.name, setting());
    make();
  }
  function make() {
    var what = values(), broken = what.fault && what.severity;
    var said = broken ? what.fault + ", severity " + what.severity : what.severity ? "healthy (no fault is chosen)" : "healthy";
    ask("clip", what, what.machine, said, false);
  }
  // An answer that a later question has overtaken is null: the later one is shown.
  function ask(job, what, machine, said, own) {
    root.dataset.state = "asked";
    engine.ask(asker, job, what).then(function (answer) { if (answer) show(answer, machine, said, own); }).catch(function (error) {
      root.dataset.state = "failed";
      tell("This sound could not be made or judged: " + error.message);
    });
  }
  function show(answer, machine, what, own) {
    var alarm = "", text = machine + ", " + what, limit = threshold(machine);
    heard = answer.waveform;
    if (answer.scores) {
      var at = engine.about.machines.indexOf(machine), score = answer.scores[at];
      alarm = limit === undefined ? "" : score > limit ? "ALARM" : "no alarm";
      text += ": score " + score.toPrecision(3) + (alarm && ", " + alarm);
      root.dataset.score = score;
      if (get("dial")) dial(get("dial"), score, limit);
      if (get("bars")) bars(get("bars"), answer.scores, at);
      if (get("near")) near(answer, machine);
    }
    tell(text);
    get("verdict").classList.toggle("alarm", alarm === "ALARM");
    if (get("logmel")) picture("logmel", answer.logMel);
    if (get("tgram")) picture("tgram", answer.tgram);
    root.dataset.alarm = alarm;
    root.dataset.milliseconds = answer.milliseconds;
    root.dataset.state = "answered";
    root.dispatchEvent(new CustomEvent("heard", { detail: { machine: machine, what: values(), alarm: alarm === "ALARM", limit: limit, setting: setting(), own: own } }));
  }
  function threshold(machine) {
    var own = data.thresholds[machine];
    return own === undefined ? ((engine.about.thresholds || {})[machine] || {}).softmax : own;
  }

  // The score on a line from 0 to the largest that the slider may reach, and the threshold as a mark on it.
  function dial(box, score, limit) {
    var percent = function (value) { return 100 * Math.max(0, Math.min(1, value / data.largest)) + "%"; };
    box.setAttribute("aria-valuenow", Math.min(score, data.largest).toPrecision(3));
    box.setAttribute("aria-valuetext", score.toPrecision(3) + (limit === undefined ? "" : ", alarm above " + limit.toPrecision(3)));
    box.querySelector(".fill").style.width = percent(score);
    box.classList.toggle("alarm", score > limit);
    var mark = box.querySelector(".limit");
    mark.hidden = limit === undefined;
    if (limit === undefined) return;
    mark.style.left = percent(limit);
    mark.firstElementChild.textContent = "alarm above " + limit.toPrecision(3);
    mark.classList.toggle("high", limit > data.largest / 2); // its text then stands on the other side
  }

  // Levels (mels * frames,), the lowest band at the bottom, 70 dB of log-mel or all of a Tgram in its colours.
  // The colours of the log-mel stay those of the first clip, so that what is louder looks louder.
  function picture(name, levels) {
    var mels = engine.about.features.mels, frames = levels.length / mels, canvas = get(name), most = -Infinity, least = Infinity;
    levels.forEach(function (level) { most = Math.max(most, level); least = Math.min(least, level); });
    if (name === "logmel") { top = top === undefined ? most : top; most = top; least = most - 70; }
    canvas.width = frames; canvas.height = mels; // the style makes it large
    var pen = canvas.getContext("2d"), image = pen.createImageData(frames, mels);
    levels.forEach(function (level, i) {
      var share = (level - least) / (most - least || 1), band = Math.floor(i / frames);
      var colour = palette[Math.max(0, Math.min(255, Math.floor(256 * share)))], at = 4 * ((mels - 1 - band) * frames + i % frames);
      image.data[at] = colour >> 16; image.data[at + 1] = colour >> 8 & 255; image.data[at + 2] = colour & 255; image.data[at + 3] = 255;
    });
    pen.putImageData(image, 0, 0);
  }

  // What stands beside the pictures: seconds, kHz on the mel scale, bands of the Tgram, which have no frequency of their own.
  function axes() {
    var features = engine.about.features, seconds = features.samples / features.rate;
    var mel = function (hertz) { return Math.log10(1 + hertz / 700) / Math.log10(1 + features.rate / 1400); };
    var kilo = [0, 0.5, 1, 2, 4, 8].filter(function (kilo) { return 2000 * kilo <= features.rate; });
    label(".dial .along", "left", [0, 0.25, 0.5, 0.75, 1].map(function (share) { return [share, Number((share * data.largest).toPrecision(2))]; }));
    label("figure .along", "left", [[0, 0], [0.5, seconds / 2], [1, seconds + " s"]]);
    label(".up", "bottom", [0, 0.5, 1].map(function (share) { return [share, Math.round(share * features.mels)]; }));
    if (get("logmel")) label(".logmel-axis", "bottom", kilo.map(function (k, i) { return [mel(1000 * k), i + 1 < kilo.length ? k : k + " kHz"]; }));
  }
  function label(where, side, marks) {
    root.querySelectorAll(where).forEach(function (box) {
      box.replaceChildren.apply(box, marks.map(function (mark) {
        var text = document.createElement("span");
        text.textContent = mark[1];
        text.style[side] = 100 * mark[0] + "%";
        return text;
      }));
    });
  }

  // The scores of the clip as each machine: the lowest bar is the machine that it sounds like.
  function bars(svg, scores, own) {
    var names = engine.about.machines, top = Math.max.apply(null, scores), wide = 600 / scores.length;
    svg.replaceChildren();
    scores.forEach(function (score, i) {
      var tall = 236 * score / top, place = { x: i * wide + 1, y: 240 - tall, width: wide - 2, height: tall };
      var bar = asdlib.svg("rect", Object.assign(place, { class: i === own ? "own" : "other" }), svg);
      asdlib.svg("title", {}, bar).textContent = names[i] + ": " + score.toPrecision(3);
    });
    var order = names.map(function (_, i) { return i; }).sort(function (a, b) { return scores[a] - scores[b]; });
    var named = order.slice(0, 3).map(function (i) { return names[i] + " (" + scores[i].toPrecision(3) + ")"; });
    get("likest").textContent = "Of all machines it sounds most like " + named[0] + (named[1] ? "; then come " + named.slice(1).join(" and ") : "") + ".";
  }

  // The distance to the machine's two nearest training clips; on the map, the middle of the five nearest of all machines.
  function near(answer, machine) {
    var own = answer.neighbours, distance = (own[0].distance + own[1].distance) / 2, usual = data.usual[machine];
    get("near").textContent = "Cosine distance to its two nearest training clips: " + distance.toFixed(3)
      + (usual === undefined ? "." : "; new healthy ones have at most " + usual.toFixed(3) + ".");
    root.dataset.distance = distance;
    if (!get("map")) return;
    var counts = {};
    answer.around.forEach(function (one) { counts[one.machine] = (counts[one.machine] || 0) + 1; });
    get("around").textContent = "Its five nearest training clips: " + Object.keys(counts).map(function (name) { return counts[name] + " of " + name; }).join(", ") + ".";
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
  function restore(kept) {
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
    ask("sound", { waveform: waveform, machine: machine }, machine, name, true);
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
      function stop() { stream.getTracks().forEach(function (track) { track.stop(); }); context.close(); }
      return context.audioWorklet.addModule("data:text/javascript," + encodeURIComponent(tap)).then(function () {
        var node = new AudioWorkletNode(context, "tap");
        tell("Listening for " + features.samples / features.rate + " s ...");
        node.port.onmessage = function (event) {
          if (at >= heard.length) return;
          var piece = event.data.subarray(0, heard.length - at);
          heard.set(piece, at); at += piece.length;
          if (at < heard.length) return;
          stop();
          judge(heard, "your microphone");
        };
        context.createMediaStreamSource(stream).connect(node).connect(context.destination);
      }).catch(function (error) { stop(); throw error; });
    }).catch(function (error) { tell("No microphone (" + error.name + "): allow it for this page, or choose a file."); });
  }

  asdlib.engine.get().then(function (found) {
    engine = found;
    if (!engine.park) return tell("A machine to turn needs the park: this page's engine has none.");
    if (data.scored && !engine.about.machines) return tell("A score needs a detector: this page's engine has none.");
    axes();
    if (get("file")) {
      get("file").addEventListener("change", function () {
        var file = this.files[0];
        if (file) file.arrayBuffer().then(function (bytes) { own(bytes, file.name); });
      });
      get("record").addEventListener("click", record);
    }
    restore(data.name ? asdlib.state.read(data.name) : {});
    root.addEventListener("set", function (event) { restore(event.detail); turned(); });
    get("machine").addEventListener("change", function () { offer(); turned(); });
    root.querySelectorAll("input[type=range], .fault").forEach(function (input) { input.addEventListener("input", turned); });
    get("play").addEventListener("click", play);
    make();
  });
}
