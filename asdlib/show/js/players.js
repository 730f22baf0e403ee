function (root, about) {
  root.querySelectorAll("figure").forEach(function (figure) {
    asdlib.position(figure.querySelector(".picture"), figure.querySelector("audio"), about.seconds);
  });
}
