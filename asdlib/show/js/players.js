function (root, axis) {
  root.querySelectorAll("figure").forEach(function (figure) {
    var sound = figure.querySelector("audio"), picture = figure.querySelector(".picture"), cursor = figure.querySelector(".cursor");
    function move() {
      var length = sound.duration || axis.seconds;
      cursor.style.left = 100 * (axis.left + axis.width * sound.currentTime / length) + "%";
      picture.setAttribute("aria-valuenow", sound.currentTime.toFixed(2));
      picture.setAttribute("aria-valuetext", sound.currentTime.toFixed(1) + " seconds");
    }
    function follow() { move(); if (!sound.paused) requestAnimationFrame(follow); }
    function seek(seconds) {
      sound.currentTime = Math.max(0, Math.min(sound.duration || axis.seconds, seconds));
      move();
    }
    sound.addEventListener("play", follow);
    sound.addEventListener("seeked", move);
    sound.addEventListener("timeupdate", move);
    picture.addEventListener("click", function (event) {
      var place = picture.getBoundingClientRect();
      var share = ((event.clientX - place.left) / place.width - axis.left) / axis.width;
      seek(share * (sound.duration || axis.seconds));
      asdlib.begin(sound);
    });
    picture.addEventListener("keydown", function (event) {
      var steps = { ArrowLeft: -0.1, ArrowRight: 0.1, PageDown: -0.5, PageUp: 0.5 };
      if (event.key in steps) seek(sound.currentTime + steps[event.key]);
      else if (event.key === "Home") seek(0);
      else if (event.key === "End") seek(sound.duration || axis.seconds);
      else if (event.key === " " || event.key === "Enter") { if (sound.paused) asdlib.begin(sound); else sound.pause(); }
      else return;
      event.preventDefault();
    });
  });
}
