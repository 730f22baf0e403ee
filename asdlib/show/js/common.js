window.asdlib = window.asdlib || (function () {
  // One sound at a time, whichever widget it is in.
  document.addEventListener("play", function (event) {
    document.querySelectorAll(".asd audio").forEach(function (other) { if (other !== event.target) other.pause(); });
  }, true);
  // What the address is about to say: browsers refuse to be told a hundred times a second.
  var said = null, later = 0, written = -1e9;
  function address() { return said === null ? location.hash : said; }
  function flush() { history.replaceState(null, "", said); said = null; later = 0; written = performance.now(); }
  function inNotebook() { return document.body.hasAttribute("data-jp-theme-name"); }
  // Somebody else's link, put in the place of this page's own address, would change nothing otherwise.
  window.addEventListener("hashchange", function () {
    if (!inNotebook() && location.hash.indexOf("#~") === 0) location.reload();
  });
  return {
    // A sound that another one replaces before it could begin is no error.
    begin: function (sound) { sound.play().catch(function () {}); },
    start: function (id, code) {
      var root = document.getElementById(id);
      if (!root || root.dataset.ready) return;
      root.dataset.ready = "yes";
      var data = JSON.parse(root.querySelector('script[type="application/json"]').textContent);
      code(root, data);
      if (!data.name) return;
      asdlib.share(root, data.name);
      // A link to a setting opens the page where it is, once formulas and pictures have found their places.
      if (!inNotebook() && location.hash.indexOf("#~" + data.name + ":") === 0) window.addEventListener("load", function () {
        setTimeout(function () { root.scrollIntoView({ block: "start" }); }, 500);
      });
    },
    svg: function (name, attributes, parent) {
      var node = document.createElementNS("http://www.w3.org/2000/svg", name);
      Object.keys(attributes).forEach(function (key) { node.setAttribute(key, attributes[key]); });
      if (parent) parent.appendChild(node);
      return node;
    },
    // One radio button a name in a box, the first of them chosen; another choice is shown.
    choices: function (box, group, names, show) {
      names.forEach(function (name, i) {
        var label = document.createElement("label"), radio = document.createElement("input");
        radio.type = "radio"; radio.name = group; radio.value = name; radio.checked = i === 0;
        radio.addEventListener("change", function () { show(name); });
        label.append(radio, " " + name);
        box.append(label);
      });
    },
    // The picture of a sound as its position: a click plays from there, arrow keys seek, the space bar plays; the cursor follows.
    position: function (picture, sound, seconds) {
      var cursor = picture.querySelector(".cursor"), long = function () { return sound.duration || seconds || 0; };
      function move() {
        cursor.style.left = 100 * (long() ? sound.currentTime / long() : 0) + "%";
        picture.setAttribute("aria-valuenow", sound.currentTime.toFixed(2));
        picture.setAttribute("aria-valuetext", sound.currentTime.toFixed(1) + " seconds");
      }
      function follow() { move(); if (!sound.paused) requestAnimationFrame(follow); }
      function seek(time) { picture.classList.add("heard"); sound.currentTime = Math.max(0, Math.min(long(), time)); move(); }
      sound.addEventListener("play", function () { picture.classList.add("heard"); follow(); });
      ["seeked", "timeupdate"].forEach(function (name) { sound.addEventListener(name, move); });
      picture.addEventListener("click", function (event) {
        var place = picture.getBoundingClientRect();
        // The first click, on the sign, hears the clip from its beginning.
        seek(picture.classList.contains("heard") ? long() * (event.clientX - place.left) / place.width : 0);
        asdlib.begin(sound);
      });
      picture.addEventListener("keydown", function (event) {
        var steps = { ArrowLeft: -0.1, ArrowRight: 0.1, PageDown: -0.5, PageUp: 0.5 };
        if (event.key in steps) seek(sound.currentTime + steps[event.key]);
        else if (event.key === "Home") seek(0);
        else if (event.key === "End") seek(long());
        else if (event.key === " " || event.key === "Enter") { if (sound.paused) asdlib.begin(sound); else sound.pause(); }
        else return;
        event.preventDefault();
      });
    },
    // What stands along the axes of a picture: four steps of seconds, four of kHz.
    axes: function (seen, seconds, rate) {
      [[".seconds span", seconds], [".khz span", rate / 2000]].forEach(function (axis) {
        seen.querySelectorAll(axis[0]).forEach(function (label, i) { label.textContent = Number((axis[1] * i / 4).toPrecision(3)); });
      });
    },
    // The player of one clip at a time: its spectrogram, computed here from the sound, above the sound itself.
    player: function (box) {
      var canvas = box.querySelector("canvas"), picture = box.querySelector(".picture"), sound = box.querySelector("audio");
      var pen = canvas.getContext("2d"), wanted;
      asdlib.position(picture, sound);
      // Levels in dB of a Hann-windowed piece around a sample: a radix-2 Fourier transform, scaled as in spectrogram.py.
      function levels(x, middle) {
        var n = asdlib.look.window, re = new Float64Array(n), im = new Float64Array(n), i, j, bit, size, k;
        for (i = 0, j = 0; i < n; i++) {
          re[j] = (x[middle - n / 2 + i] || 0) * (0.5 - 0.5 * Math.cos(2 * Math.PI * i / n));
          for (bit = n >> 1; j & bit; bit >>= 1) j ^= bit;
          j |= bit;
        }
        for (size = 2; size <= n; size *= 2) for (k = 0; k < size / 2; k++) {
          var c = Math.cos(-2 * Math.PI * k / size), s = Math.sin(-2 * Math.PI * k / size);
          for (i = k; i < n; i += size) {
            j = i + size / 2;
            var a = re[j] * c - im[j] * s, b = re[j] * s + im[j] * c;
            re[j] = re[i] - a; im[j] = im[i] - b; re[i] += a; im[i] += b;
          }
        }
        return Array.from({ length: n / 2 + 1 }, function (_, m) { return 20 * Math.log10(Math.hypot(re[m], im[m]) / (n / 2) + asdlib.look.floor); });
      }
      // What the picture shows, in the words of in_words in spectrogram.py.
      function words(columns, rate) {
        var bins = columns[0].length, spectrum = new Float64Array(bins), loud = -Infinity, sum = 0, half = -1, nearly = -1, most = 0, k;
        var level = columns.map(function (column) {
          var power = 0;
          column.forEach(function (db, k) { var p = Math.pow(10, db / 10); spectrum[k] += p; power += p; loud = Math.max(loud, db); });
          return 10 * Math.log10(power);
        });
        if (loud < asdlib.look.silent) return "Silence.";
        var total = spectrum.reduce(function (a, b) { return a + b; });
        for (k = 0; k < bins; k++) {
          sum += spectrum[k] / total;
          if (spectrum[k] > spectrum[most]) most = k;
          if (half < 0 && sum >= 0.5) half = k;
          if (nearly < 0 && sum >= 0.9) nearly = k;
        }
        function hertz(k) {
          var frequency = k * rate / asdlib.look.window, tens = 10 * Math.floor(frequency / 10 + 0.5);
          return tens < 1000 ? tens + " Hz" : (frequency / 1000).toFixed(1) + " kHz";
        }
        var sorted = level.slice().sort(function (a, b) { return a - b; });
        var low = sorted[Math.floor(0.05 * level.length)], high = sorted[Math.floor(0.95 * level.length)], swing = high - low;
        var goes = "is steady", rises = 0, up = null;
        if (swing >= asdlib.look.steady) {
          level.forEach(function (value) {
            if (value >= high - swing / 3) { if (up === false) rises += 1; up = true; } else if (value < low + swing / 3) up = false;
          });
          goes = "swings by " + swing.toFixed(0) + " dB and " + (["never rises", "rises once"][rises] || "rises " + rises + " times");
        }
        var first = spectrum[most] >= asdlib.look.out * total / bins ? "Strongest at " + hertz(most) : "No frequency stands out";
        return first + "; half of its power lies below " + hertz(half) + ", nine tenths below " + hertz(nearly) + ". Its level " + goes + ".";
      }
      // A pixel a frame and a frequency, as spectrogram.py has them; the page stretches them.
      function draw(x, rate, top) {
        var look = asdlib.look, wide = canvas.width = Math.floor(x.length / look.hop) + 1, tall = canvas.height = look.window / 2 + 1;
        var image = pen.createImageData(wide, tall), columns = [];
        for (var frame = 0; frame < wide; frame++) (columns[frame] = levels(x, frame * look.hop)).forEach(function (level, k) {
          var v = (level - top) / look.range + 1, colour = parseInt(look.colours.substr(6 * Math.max(0, Math.min(255, Math.floor(256 * v))), 6), 16);
          image.data.set([colour >> 16, colour >> 8 & 255, colour & 255, 255], 4 * ((tall - 1 - k) * wide + frame));
        });
        pen.putImageData(image, 0, 0);
        asdlib.axes(box, x.length / rate, rate);
        picture.setAttribute("aria-valuemax", (x.length / rate).toFixed(2));
        return words(columns, rate);
      }
      return {
        sound: sound,
        // The sound of this source, named by the text; the brightest colour of its picture stands for the level top.
        set: function (source, text, top) {
          sound.src = wanted = source;
          sound.setAttribute("aria-label", text);
          canvas.setAttribute("aria-label", "Spectrogram: " + text);
          picture.setAttribute("aria-label", "Position in: " + text);
          picture.classList.remove("heard");
          var bytes = Uint8Array.from(atob(source.split(",")[1]), function (letter) { return letter.charCodeAt(0); });
          new OfflineAudioContext(1, 1, 16000).decodeAudioData(bytes.buffer).then(function (decoded) {
            if (wanted !== source) return;
            canvas.setAttribute("aria-label", "Spectrogram: " + text + ". " + draw(decoded.getChannelData(0), decoded.sampleRate, top));
          });
        }
      };
    },
    // The detector that works in this page, once there is one: other pictures wait for it.
    engine: {
      now: null, waiting: [],
      put: function (engine) { this.now = engine; this.waiting.splice(0).forEach(function (done) { done(engine); }); },
      get: function () { var self = this; return new Promise(function (done) { if (self.now) done(self.now); else self.waiting.push(done); }); }
    },
    // The machine to turn that stands nearest before a widget, if there is one.
    machineBefore: function (root) {
      return Array.from(document.querySelectorAll(".asd-machine")).filter(function (one) {
        return one.compareDocumentPosition(root) & Node.DOCUMENT_POSITION_FOLLOWING;
      }).pop();
    },
    // What was set, kept in the page's address (#~name:key=value&...~name:...), so that it can be shared. Not in a notebook.
    // Where the address says nothing, what the book has kept of the reader counts (book/_ext/progress.js).
    state: {
      read: function (name) {
        var found = {}, part = address().split("~").find(function (text) { return text.indexOf(name + ":") === 0; });
        if (part) new URLSearchParams(part.slice(name.length + 1)).forEach(function (value, key) { found[key] = value; });
        return part ? found : Object.assign(found, (window.asdKept || {})[name]);
      },
      write: function (name, values) {
        if (inNotebook()) return;
        var others = address().split("~").slice(1).filter(function (text) { return text.indexOf(name + ":") !== 0; });
        said = "#~" + others.concat(name + ":" + new URLSearchParams(values)).join("~");
        if (later) return;
        if (performance.now() - written > 150) flush(); else later = setTimeout(flush, 150);
      }
    },
    // A button below a named widget that copies the link to what is set in it, and shows the link where it may not be copied.
    share: function (root, name) {
      if (inNotebook()) return;
      var line = document.createElement("p"), button = document.createElement("button");
      var told = document.createElement("span"), field = document.createElement("input");
      line.className = "asd-share";
      button.type = "button";
      button.textContent = "copy the link to this setting";
      told.setAttribute("role", "status");
      field.readOnly = true;
      field.hidden = true;
      field.setAttribute("aria-label", "The link");
      line.append(button, " ", told, " ", field);
      root.append(line);
      function tell(text) {
        var away = " Whoever has the book on their own computer puts its end, from # on, behind the address of their page.";
        told.textContent = text + (location.protocol === "file:" ? away : "");
      }
      button.addEventListener("click", function () {
        var values = asdlib.state.read(name), part = "#~" + name + ":" + new URLSearchParams(values);
        if (!Object.keys(values).length) { told.textContent = "There is nothing to share yet: turn something first."; return; }
        field.value = location.href.split("#")[0] + part;
        var detail = { what: root.getAttribute("aria-label"), address: part };
        root.dispatchEvent(new CustomEvent("shared", { bubbles: true, detail: detail }));
        // In a promise, because a browser without a clipboard throws.
        Promise.resolve().then(function () { return navigator.clipboard.writeText(field.value); }).then(function () {
          field.hidden = true;
          tell("Copied.");
        }, function () {
          field.hidden = false;
          tell("This browser lets no page copy: take the link from here.");
          field.select();
        });
      });
    },
    // Area under the ROC curve: the share of (faulty, healthy) pairs in the right order, ties counting half.
    auc: function (scores, truth) {
      var right = 0, pairs = 0;
      scores.forEach(function (faulty, i) {
        if (truth[i]) scores.forEach(function (healthy, j) {
          if (!truth[j]) { pairs += 1; right += faulty > healthy ? 1 : faulty === healthy ? 0.5 : 0; }
        });
      });
      return pairs ? right / pairs : NaN;
    }
  };
})();
