function (root, data) {
  // Answers come in the order of the questions. A question that another one of the same asker has overtaken is not asked: its
  // answer is null.
  var worker = new Worker(URL.createObjectURL(new Blob([data.code + "asdlive.work();"], { type: "text/javascript" })));
  var answers = new Map(), waiting = new Map(), busy = false, count = 0, told = root.querySelector(".told");
  function send(job, what, done, failed) {
    answers.set(++count, [done, failed]);
    worker.postMessage({ number: count, job: job, what: what });
  }
  worker.onmessage = function (event) {
    var given = answers.get(event.data.number);
    answers.delete(event.data.number);
    if (event.data.error) given[1](new Error(event.data.error)); else given[0](event.data.answer);
  };
  worker.onerror = function (event) { told.textContent = "What computes in this page does not work in this browser: " + event.message; };
  function next() {
    var first = waiting.entries().next();
    if (busy || first.done) return;
    busy = true;
    waiting.delete(first.value[0]);
    var question = first.value[1], free = function () { busy = false; next(); };
    send(question.job, question.what, function (answer) { question.done(answer); free(); }, function (error) { question.failed(error); free(); });
  }
  var begun = performance.now();
  send("load", { run: data.run, park: data.park }, function (about) {
    var seconds = ((performance.now() - begun) / 1000).toFixed(1);
    told.textContent = data.said + " It was ready after " + seconds + " s; nothing you do here leaves this page.";
    root.dataset.working = "yes";
    asdlib.engine.put({
      about: about,
      park: data.park,
      ask: function (asker, job, what) {
        return new Promise(function (done, failed) {
          if (waiting.has(asker)) waiting.get(asker).done(null);
          waiting.set(asker, { job: job, what: what, done: done, failed: failed });
          next();
        });
      }
    });
  }, function (error) { told.textContent = "What computes in this page cannot be read: " + error.message; });
}
