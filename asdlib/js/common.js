window.asdlib = window.asdlib || (function () {
  // One sound at a time, whichever widget it is in.
  document.addEventListener("play", function (event) {
    document.querySelectorAll(".asd audio").forEach(function (other) { if (other !== event.target) other.pause(); });
  }, true);
  return {
    start: function (id, code) {
      var root = document.getElementById(id);
      if (!root || root.dataset.ready) return;
      root.dataset.ready = "yes";
      code(root, JSON.parse(root.querySelector('script[type="application/json"]').textContent));
    },
    svg: function (name, attributes, parent) {
      var node = document.createElementNS("http://www.w3.org/2000/svg", name);
      Object.keys(attributes).forEach(function (key) { node.setAttribute(key, attributes[key]); });
      if (parent) parent.appendChild(node);
      return node;
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
