function (root, data) {
  var box = root.querySelector(".player"), player = asdlib.player(box), where = root.querySelector(".where"), result = root.querySelector(".result");
  var rating = root.querySelector(".rate"), n = data.sounds.length, order, ratings;

  function begin() {
    order = data.sounds.map(function (_, i) { return i; });
    for (var i = n - 1; i > 0; i--) {
      var k = Math.floor(Math.random() * (i + 1)), kept = order[i];
      order[i] = order[k]; order[k] = kept;
    }
    ratings = [];
    result.replaceChildren();
    rating.style.display = "";
    player.set(data.sounds[order[0]], "the clip to be rated", data.top);
    where.textContent = "Clip 1 of " + n + ". Press play, listen, then rate; the keys 1 to 5 do it, too.";
    root.dataset.clip = 1;
  }
  function rate(value) {
    if (ratings.length === n) return;
    ratings.push(value);
    if (ratings.length === n) return tell();
    where.textContent = "Clip " + (ratings.length + 1) + " of " + n + ".";
    root.dataset.clip = ratings.length + 1;
    player.set(data.sounds[order[ratings.length]], "the clip to be rated", data.top);
    asdlib.begin(player.sound);
  }
  function row(kind, cells) {
    var line = document.createElement("tr");
    cells.forEach(function (text) {
      var cell = document.createElement(kind);
      cell.textContent = text;
      if (kind === "th") cell.scope = "col";
      line.append(cell);
    });
    return line;
  }
  function tell() {
    var truth = order.map(function (i) { return data.faulty[i]; }), own = asdlib.auc(ratings, truth);
    rating.style.display = "none"; player.sound.pause();
    root.dataset.auc = own;
    where.textContent = "Your AUC on these " + n + " clips: " + (100 * own).toFixed(0) + " %. (50 % is guessing, 100 % is perfect.)" +
      Object.keys(data.rivals).map(function (name) { return " " + name + ": " + (100 * data.rivals[name]).toFixed(0) + " %."; }).join("");
    var table = document.createElement("table"), body = document.createElement("tbody");
    body.append(row("th", ["your rating", "what it was", "hear it again"]));
    order.forEach(function (i, k) {
      var line = row("td", [ratings[k] + " of 5", data.texts[i]]), cell = document.createElement("td"), again = document.createElement("button");
      again.type = "button"; again.textContent = "play clip " + (k + 1);
      again.addEventListener("click", function () { player.set(data.sounds[i], data.texts[i], data.top); asdlib.begin(player.sound); });
      cell.append(again); line.append(cell); body.append(line);
    });
    table.append(body);
    result.append(table);
  }
  rating.addEventListener("click", function (event) { if (event.target.dataset.rate) rate(Number(event.target.dataset.rate)); });
  root.addEventListener("keydown", function (event) {
    if (event.key >= "1" && event.key <= "5" && !event.ctrlKey && !event.metaKey && !event.altKey) rate(Number(event.key));
  });
  root.querySelector(".look").addEventListener("change", function (event) { box.querySelector(".seen").hidden = !event.target.checked; });
  root.querySelector(".again").addEventListener("click", begin);
  begin();
}
