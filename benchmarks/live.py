"""How long does the living machine take from a slider to the detector's answer?

    python benchmarks/live.py [--against CHECKOUT] [--browsers chromium firefox-esr] [--rounds 3]

A page with the detector of 23 machines and one machine to turn is opened in a browser on one core. It moves its own slider
ten times a round, waits for each answer to be shown, and sends what it measured to this program. With ``--against``, the page
that another checkout writes takes turns with it, so that both meet the same other work on the machine. The network
is as large as the book's and untrained: how long it takes does not depend on what it has learned.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

TOP = Path(__file__).parents[1]
TURNS = 10
FAULTS = {"fan/id_06": "clogging", "pump/id_00": "cavitation", "ToyCar/id_01": "damaged gear"}
# In the page: TURNS answers of each machine, after one that is not counted.
MEASURE = """<script>
(async () => {
    const root = document.querySelector(".asd-machine"), slider = root.querySelector("[data-name=severity]"), times = {};
    const turned = (act) => new Promise((done) => { root.addEventListener("heard", done, { once: true }); act(); });
    const input = (node, type, value) => { node.value = value; node.dispatchEvent(new Event(type)); };
    if (root.dataset.state !== "answered") await turned(() => {});
    for (const [machine, fault] of Object.entries(FAULTS)) {
        await turned(() => input(root.querySelector(".machine"), "change", machine));
        await turned(() => input(root.querySelector(".fault"), "input", fault));
        times[machine] = [];
        for (let i = 1; i <= TURNS; i++) {
            const begun = performance.now();
            await turned(() => input(slider, "input", i / 10));
            times[machine].push(performance.now() - begun);
        }
    }
    fetch("/measured", { method: "POST", body: JSON.stringify(times) });
})();
</script>"""


def write(path: Path) -> None:
    """The page, as the ``asdlib`` that Python finds makes it."""
    from dataclasses import replace

    import numpy as np
    import torch

    from asdlib.detector import Detector, untrained
    from asdlib.live import engine, living_machine
    from asdlib.machines import machines, park_facts
    from asdlib.run import PRESETS
    from asdlib.web import described

    torch.manual_seed(0)
    config = replace(PRESETS["book"], machines=tuple(machines()))
    clips = 60 * len(config.machines)
    bank = np.random.default_rng(0).normal(size=(clips, 128)).astype(np.float32)
    labels = np.repeat(np.arange(len(config.machines)), 60)
    detector = Detector(config, untrained(config).eval(), bank, labels, {})
    parts = (engine(described(detector), park_facts()), living_machine(machines(), thresholds=dict.fromkeys(machines(), 9.0)))
    path.write_text("<!doctype html><meta charset=utf-8><title>x</title>" + "".join(part._repr_html_() for part in parts))


def page_of(checkout: Path, folder: str) -> str:
    """The page that a checkout writes, in a process of its own."""
    path = Path(folder) / "page.html"
    command = [sys.executable, __file__, "--write", path]
    subprocess.run(command, env={**os.environ, "PYTHONPATH": str(checkout)}, check=True)
    return path.read_text()


def measured(browser: str, page: str) -> dict[str, list[float]]:
    """Milliseconds of each answer, by machine, of one opening of the page in a browser on one core."""
    found: dict[str, list[float]] = {}
    arrived = threading.Event()
    script = MEASURE.replace("FAULTS", json.dumps(FAULTS)).replace("TURNS", str(TURNS))

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/" else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            if self.path == "/":
                self.wfile.write((page + script).encode())

        def do_POST(self):
            found.update(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()
            arrived.set()

        def log_message(self, *_):
            """Nothing: who asked for what is of no interest."""

    server = HTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        address = f"http://127.0.0.1:{server.server_port}/"
        if "firefox" in browser:
            arguments = ["--headless", "--no-remote", "--profile", profile, address]
        else:
            # Without a port to talk to, a headless Chromium would leave once the page is there.
            arguments = ["--headless=new", "--no-sandbox", f"--user-data-dir={profile}", "--remote-debugging-port=0", address]
        core = max(os.sched_getaffinity(0))
        process = subprocess.Popen(
            ["taskset", "-c", str(core), browser, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            if not arrived.wait(timeout=300):
                sys.exit(f"{browser} has not answered within five minutes")
        finally:
            process.terminate()
            process.wait()
    server.shutdown()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", type=Path, help="another checkout")
    parser.add_argument("--browsers", nargs="+", default=["chromium", "firefox-esr"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.write:
        return write(given.write)
    checkouts = [TOP] + ([given.against] if given.against else [])
    with tempfile.TemporaryDirectory() as folder:
        pages = {str(checkout): page_of(checkout, folder) for checkout in checkouts}
    for browser in given.browsers:
        if not shutil.which(browser):
            print(f"{browser:12} is not installed: left out")
            continue
        rounds = [{name: measured(browser, page) for name, page in pages.items()} for _ in range(given.rounds)]
        for name in pages:
            for machine in FAULTS:
                times = [time for one in rounds for time in one[name][machine]]
                middle, worst = statistics.median(times), max(times)
                print(f"{browser:12} {machine:14} median of {len(times)}: {middle:4.0f} ms, longest {worst:4.0f} ms  {name}")


if __name__ == "__main__":
    main()
