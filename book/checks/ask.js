function (group, options, seal) {
  var form = document.getElementById(group), told = form.querySelector("[role=status]");
  form.addEventListener("submit", function (event) {
    event.preventDefault();
    var chosen = form.querySelector("input:checked");
    if (!chosen) { told.textContent = "Choose an answer first."; return; }
    var option = options[chosen.value], right = option[0] === seal;
    form.dataset.passed = right;
    told.textContent = (right ? "Right. " : "Not quite. ") + option[1];
  });
}
