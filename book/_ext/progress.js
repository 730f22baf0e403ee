// What a reader has read and answered, kept in the browser and nowhere else: marks in the table of contents, answers back in
// their forms, and the page "Your results". Each edition and version of the book keeps its own. asdBook comes from offline.py.
(function () {
  var book = window.asdBook, OWN = "asd-book/" + book.edition + "/", KEY = OWN + book.version, trouble = "";
  var REFUSED = "This browser keeps nothing for these pages: your progress and your answers last until you leave a page.";
  var BROKEN = "What was kept of your progress cannot be read any more: it begins anew.";

  // ------------------------------------------------------------------------------------------------------------ keeping

  function read() {
    var empty = { name: "", pages: {}, answers: {}, records: {}, shared: [] }, text = null;
    try { text = localStorage.getItem(KEY); } catch (error) { refused(); }
    try { return Object.assign(empty, JSON.parse(text)); } catch (error) { trouble = BROKEN; return empty; }
  }
  function keep(kept) { localStorage.setItem(KEY, JSON.stringify(kept)); }
  // Read again before each change: another tab may have the book open, too.
  function change(how) {
    var kept = read();
    how(kept);
    try { keep(kept); } catch (error) { refused(); keep(kept); }
    show(kept);
  }
  // Where nothing may be kept, the page gets something to keep it in until it is left. The theme would stop without.
  function refused() {
    trouble = REFUSED;
    Object.defineProperty(window, "localStorage", { configurable: true, value: Object.create({
      getItem: function (key) { return this[key] === undefined ? null : this[key]; },
      setItem: function (key, text) { this[key] = String(text); },
      removeItem: function (key) { delete this[key]; }
    }) });
  }
  function forget() {
    Object.keys(localStorage).forEach(function (key) { if (key.indexOf(OWN) === 0) localStorage.removeItem(key); });
    if (trouble === BROKEN) trouble = "";
    show(read());
  }

  // -------------------------------------------------------------------------------------------------------- the widgets

  // Widgets take their state from the address, and where that says nothing, the records that the reader has set before.
  window.asdKept = { challenge: read().records[book.page] };
  // With somebody else's records in the address, a new one may be worse than one's own.
  document.addEventListener("record", function (event) {
    var kind = event.detail.kind, record = event.detail.record;
    change(function (kept) {
      var own = kept.records[book.page] = kept.records[book.page] || {};
      var before = own[kind] ? parseFloat(own[kind]) : NaN, now = parseFloat(record);
      if (!(kind === "caught" ? now >= before : now <= before)) own[kind] = record;
    });
  });
  document.addEventListener("shared", function (event) {
    var one = { page: book.page, title: book.title, what: event.detail.what, address: event.detail.address };
    change(function (kept) {
      var others = kept.shared.filter(function (other) { return other.page !== one.page || other.address !== one.address; });
      kept.shared = others.concat(one);
    });
  });

  // ---------------------------------------------------------------------------------------------------------- questions

  function questions() { return Array.from(document.querySelectorAll("form[id^=ask-]")); }
  function asked(form) {
    return Array.from(form.querySelectorAll("legend, label"), function (part) { return part.textContent.trim(); });
  }
  // Every try up to the right one counts. Who goes on to see what is said of the others has answered all the same.
  document.addEventListener("submit", function (event) {
    var form = event.target, chosen = form.querySelector("input:checked");
    if (form.id.indexOf("ask-") !== 0 || !chosen) return;
    change(function (kept) {
      var answer = kept.answers[form.id] || { page: book.page, asked: asked(form), tries: [], right: false };
      var choice = Number(chosen.value);
      if (answer.right || answer.tries[answer.tries.length - 1] === choice) return;
      answer.tries.push(choice);
      answer.right = form.dataset.passed === "true";
      kept.answers[form.id] = answer;
    });
  });
  // The form's own script answers, as it did then; the event does not bubble, so it is no new try.
  function restore(form, answer) {
    form.querySelectorAll("input")[answer.tries[answer.tries.length - 1]].checked = true;
    form.dispatchEvent(new Event("submit", { cancelable: true }));
  }
  // A chapter has been opened: its answers come back, and its end is waited for.
  function opened() {
    var now = new Date().toISOString(), forms = questions();
    if (!book.chapters[book.page]) return;
    change(function (kept) {
      kept.pages[book.page] = Object.assign({ opened: now }, kept.pages[book.page], { questions: forms.length });
      // An answer to a question that has changed since is an answer to another question.
      Object.keys(kept.answers).forEach(function (id) {
        var form = document.getElementById(id), answer = kept.answers[id];
        if (answer.page === book.page && !(form && String(asked(form)) === String(answer.asked))) delete kept.answers[id];
      });
      forms.forEach(function (form) { if (kept.answers[form.id]) restore(form, kept.answers[form.id]); });
    });
    window.addEventListener("load", function () {
      var end = document.querySelector("article").appendChild(document.createElement("div"));
      new IntersectionObserver(function (seen, observer) {
        if (!seen.some(function (one) { return one.isIntersecting; })) return;
        observer.disconnect();
        change(function (kept) {
          kept.pages[book.page] = Object.assign({ opened: now, end: new Date().toISOString() }, kept.pages[book.page]);
        });
      }).observe(end);
    });
  }

  // ---------------------------------------------------------------------------------------------- the table of contents

  function address(page) { return document.documentElement.dataset.content_root + page + ".html"; }
  function right(kept, page) {
    var answers = Object.values(kept.answers).filter(function (answer) { return answer.page === page && answer.right; });
    return answers.length + " of " + kept.pages[page].questions;
  }
  function mark(kept) {
    var pages = {};
    Object.keys(book.chapters).forEach(function (page) { pages[new URL(address(page), location).pathname] = page; });
    document.querySelectorAll(".bd-links a.reference.internal").forEach(function (link) {
      var page = pages[link.pathname], seen = kept.pages[page];
      link.querySelectorAll(".progress-mark, .progress-words").forEach(function (old) { old.remove(); });
      link.removeAttribute("title");
      if (!page || !seen) return;
      link.title = (seen.end ? "read to the end" : "opened")
        + (seen.questions ? ", " + right(kept, page) + " questions right" : "");
      link.append(node("span", { className: "progress-mark", ariaHidden: "true" }, seen.end ? " ✓" : " ○"));
      link.append(node("span", { className: "progress-words" }, " (" + link.title + ")"));
    });
  }

  // ------------------------------------------------------------------------------------------- the page "Your results"

  function node(tag, values, ...inside) {
    var made = Object.assign(document.createElement(tag), values);
    made.append(...inside);
    return made;
  }
  function link(page) { return node("a", { href: address(page) }, book.chapters[page]); }
  function day(text) {
    return new Date(text).toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" });
  }
  // What belongs under a heading: a table, or, where it has no rows, a sentence.
  function fill(place, head, rows, nothing) {
    function line(cell, texts) {
      return node("tr", {}, ...texts.map(function (text) { return node(cell, cell === "th" ? { scope: "col" } : {}, text); }));
    }
    var lines = rows.map(function (row) { return line("td", row); });
    var table = node("table", { className: "table" }, node("thead", {}, line("th", head)), node("tbody", {}, ...lines));
    document.getElementById("progress-" + place).replaceChildren(rows.length ? table : node("p", {}, nothing));
  }

  function results(kept) {
    var pages = Object.keys(book.chapters), name = document.getElementById("progress-name");
    if (!name) return;
    if (name.value !== kept.name) name.value = kept.name;
    var ends = pages.filter(function (page) { return kept.pages[page] && kept.pages[page].end; });
    var rights = Object.values(kept.answers).filter(function (answer) { return answer.right; });
    var first = rights.filter(function (answer) { return answer.tries.length === 1; });
    document.getElementById("progress-sum").textContent = "Read to the end: " + ends.length + " of " + pages.length
      + " chapters. Questions right: " + rights.length + ", " + first.length + " of them at the first try.";
    document.getElementById("progress-when").textContent =
      "As of " + day(new Date()) + ", " + book.edition + "’s edition, version " + book.version + ".";
    fill("chapters", ["chapter", "opened", "read to the end", "questions right"], pages.map(function (page) {
      var seen = kept.pages[page];
      if (!seen) return [link(page), "no", "no", "–"];
      return [link(page), day(seen.opened), seen.end ? day(seen.end) : "no", seen.questions ? right(kept, page) : "–"];
    }));
    var answers = [], records = [];
    var kinds = { caught: "mildest fault with an alarm, not heard", missed: "strongest fault heard, without an alarm" };
    pages.forEach(function (page) {
      Object.values(kept.answers).forEach(function (answer) {
        if (answer.page !== page) return;
        var tries = answer.tries.map(function (i) { return node("li", {}, answer.asked[i + 1]); });
        var found = answer.right ? "at try " + tries.length : "not yet";
        answers.push([link(page), answer.asked[0], node("ol", {}, ...tries), found]);
      });
      Object.entries(kept.records[page] || {}).forEach(function (one) {
        records.push([link(page), kinds[one[0]], ...one[1].split("|").slice(0, 3)]);
      });
    });
    fill("answers", ["chapter", "question", "your answers, in order", "right"], answers, "No question is answered yet.");
    fill("records", ["chapter", "record", "severity", "fault", "machine"], records, "There is no record yet.");
    fill("shared", ["link", "what", "set to"], kept.shared.map(function (one) {
      var values = Array.from(new URLSearchParams(one.address.replace(/^#~[^:]*:/, "")));
      var said = values.map(function (pair) { return pair[0] + ": " + (pair[1].replace(/\|/g, " ") || "none"); }).join(", ");
      return [node("a", { href: address(one.page) + one.address }, one.title), one.what, said];
    }), "No link is copied yet.");
  }
  function controls() {
    var place = document.getElementById("progress-controls");
    if (!place) return;
    var name = node("input", { type: "text", id: "progress-name", autocomplete: "name" });
    var told = node("span", { role: "status" }), print = node("button", { type: "button" }, "print this page");
    var clear = node("button", { type: "button" }, "forget everything");
    name.addEventListener("input", function () { change(function (kept) { kept.name = name.value; }); });
    print.addEventListener("click", function () { window.print(); });
    clear.addEventListener("click", function () {
      if (!confirm("Forget all that this edition of the book keeps: progress, answers, records, links and name?")) return;
      forget();
      told.textContent = "Everything is forgotten.";
    });
    place.replaceChildren(node("p", {}, node("label", {}, "Name ", name)), node("p", {}, print, " ", clear, " ", told));
    place.append(node("p", { id: "progress-sum" }), node("p", { id: "progress-when" }));
  }

  function show(kept) {
    mark(kept);
    results(kept);
    document.querySelectorAll(".progress-trouble").forEach(function (line) { line.textContent = trouble; });
  }
  document.addEventListener("DOMContentLoaded", function () {
    controls();
    document.querySelectorAll(".bd-links, #progress-controls").forEach(function (place) {
      place.append(node("p", { className: "progress-trouble" }));
    });
    opened();
    change(function () {}); // to find out whether it is kept
  });
  // Paper is white: what is shown in dark colours is printed in light ones.
  var root = document.documentElement, theme;
  window.addEventListener("beforeprint", function () { theme = root.dataset.theme; root.dataset.theme = "light"; });
  window.addEventListener("afterprint", function () { root.dataset.theme = theme; });
  // Changed in another tab, or shown again by the browser's back button.
  window.addEventListener("storage", function () { show(read()); });
  window.addEventListener("pageshow", function (event) { if (event.persisted) show(read()); });
})();
