"""A year in the life of a detector that is left running: seasons, a source that dies, restarts, a full disk, a slow fault.

    python benchmarks/year.py WORK [--days 365] [--hours 24] [--budget 60s]

A fan of the simulated park is heard for two seconds, so many times a day. The detector is trained on three weeks of January
(this fan and its likes), its threshold chosen on the two weeks after, for one false alarm in a hundred windows. From then on
one process of ``asd stream --source`` hears all that comes, by HTTP; the server hangs up now and then, and the process is
killed and started again. Summer moves speed, load and noise and is no fault; from day 250 on a bearing wears slowly.

Three keepers look at the same scores: one never calibrates again; one asks ``asdlib.drift`` every week, looks at the fan where
it says "changed", and calibrates again if the fan is well; one does so without looking. Writes ``data/results/year.json``: a
header, a row a day, a row a week and keeper, and what was checked. Simulated: it teaches, and is no evidence.
"""

import argparse
import json
import shutil
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar

import numpy as np
import soundfile
from results import FOLDER

from asdlib.detector import Detector, embed
from asdlib.drift import Sample, drift
from asdlib.features import log_mel
from asdlib.files import atomic_write
from asdlib.machines import SAMPLE_RATE, render
from asdlib.threshold import choose_threshold, read_thresholds

MACHINE, LIKES = "fan/id_00", ("fan/id_00", "fan/id_02", "fan/id_04", "fan/id_06")
SECONDS, RATE = 2.0, 0.01  # of a window; false alarms a window that are promised
TRAINED, CALIBRATED = 21, 35  # days
WORN = (250, 330, 1.3)  # the bearing wears from this day to that one, up to this severity
HANG_UPS, KILLED = (90, 91, 200), (60, 150, 300)  # days
WEEK, REFERENCE = 7, 14  # days that are asked about, and that they are held against
KEEPERS = ("never again", "looks, then calibrates", "calibrates blindly")


def summer(day: int) -> float:
    """0 in the middle of January, 1 in the middle of July."""
    return 0.5 - 0.5 * float(np.cos(2 * np.pi * (day - 15) / 365))


def severity(day: int) -> float:
    """Of the worn bearing."""
    first, last, most = WORN
    return most * float(np.clip((day - first) / (last - first), 0, 1))


def window(machine: str, day: int, hour: int) -> np.ndarray:
    """What is heard at one hour of one day: (samples,) int16."""
    rng, warm = np.random.default_rng([day, hour, LIKES.index(machine)]), summer(day)
    today = np.random.default_rng([day, 99]).standard_normal(3)  # the hours of a day are alike
    nuisance = {
        "speed": float(np.exp(0.02 * rng.standard_normal() + 0.01 * today[0]) * (1 - 0.03 * warm)),
        "load": float(np.exp(0.1 * rng.standard_normal()) * (1 + 0.25 * warm)),
        "snr": float(14 + rng.standard_normal() + today[1] - 4 * warm),
        "background_slope": float(4.5 + 0.4 * rng.standard_normal() + 0.3 * today[2] - warm),
        "gain": float(rng.standard_normal()),
        "colour": float(0.2 * rng.standard_normal()),
        "room_decay": 0.2,
        "room_wet": 0.3,
    }
    worn = severity(day) if machine == MACHINE else 0.0
    fault = {"fault": "bearing wear", "severity": worn} if worn else {}
    clip = render(machine, 24 * day + hour, split="year", seconds=SECONDS, nuisance=nuisance, **fault)
    return np.round(clip.waveform * 2**15).clip(-(2**15), 2**15 - 1).astype("<i2")


def asd(*words) -> None:
    """The command, or the end."""
    subprocess.run([sys.executable, "-m", "asdlib", *map(str, words)], check=True, stdout=subprocess.DEVNULL)


def prepared(work: Path, hours: int, budget: str) -> Path:
    """The run directory of the detector, trained and with its threshold; made if it is not there."""
    run = work / "run"
    if not (run / "thresholds.json").exists():
        shutil.rmtree(work / "january", ignore_errors=True)
        shutil.rmtree(run, ignore_errors=True)
        for machine in LIKES:
            kind, name = machine.split("/")
            for split, days in (("train", range(TRAINED)), ("calibration", range(TRAINED, CALIBRATED))):
                folder = work / "january" / kind / split if split == "train" else work / "calibration"
                folder.mkdir(parents=True, exist_ok=True)
                for day in days if split == "train" or machine == MACHINE else ():
                    for hour in range(hours):
                        sound = window(machine, day, hour)
                        soundfile.write(folder / f"normal_{name}_{day:03d}{hour:02d}.wav", sound, SAMPLE_RATE)
        asd("train", work / "january", "--run", run, "--budget", budget, "--device", "cpu")
        asd("threshold", work / "calibration", "--run", run, "--machine", MACHINE, "--rate", RATE)
    return run


class Air(BaseHTTPRequestHandler):
    """A microphone on the network: an endless WAV, of the windows from the ``place`` on, until it hangs up."""

    windows: ClassVar[list[np.ndarray]]
    hours: ClassVar[int]
    place: ClassVar[int]
    hang_ups: ClassVar[set[int]]

    def do_GET(self) -> None:
        """Send what there is to hear from now on."""
        cls = type(self)
        self.send_response(200)
        self.end_headers()
        endless = (2**32 - 1).to_bytes(4, "little")
        rate, block = SAMPLE_RATE.to_bytes(4, "little"), (2 * SAMPLE_RATE).to_bytes(4, "little")
        kind = (16).to_bytes(4, "little") + b"\x01\x00\x01\x00" + rate + block + b"\x02\x00\x10\x00"
        self.wfile.write(b"RIFF" + endless + b"WAVEfmt " + kind + b"data" + endless)
        place = cls.place
        try:
            while place < len(cls.windows):
                self.wfile.write(cls.windows[place].tobytes())
                place += 1
                day = CALIBRATED + place / cls.hours
                if day in cls.hang_ups:
                    cls.hang_ups.remove(int(day))
                    cls.place = place
                    return
        except OSError:  # nobody listens any more
            return

    def log_message(self, *_) -> None:
        """Say nothing."""


def left_running(run: Path, windows: list[np.ndarray], hours: int) -> tuple[np.ndarray, list[dict]]:
    """The score of each window (N,) as ``asd stream`` tells them over the year, and what happened on the way."""
    Air.windows, Air.hours, Air.hang_ups = windows, hours, set(HANG_UPS)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Air)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    source = f"http://127.0.0.1:{server.server_port}/fan.wav"
    command = [sys.executable, "-m", "asdlib", "stream", "--run", run, "--machine", MACHINE, "--json", "--retries", "1"]
    command += ["--source", source, "--device", "cpu"]
    scores, events, kills = np.full(len(windows), np.nan), [], sorted(KILLED)
    place = 0
    while place < len(windows):
        Air.place = place  # whoever is started hears what is to be heard now
        child = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert child.stdout is not None
        for line in child.stdout:
            row = json.loads(line)
            if row.get("event") == "gap":
                events.append({"day": CALIBRATED + place / hours, "what": "the source was gone"})
                continue
            scores[place] = row["score"]
            place += 1
            if kills and place >= (kills[0] - CALIBRATED) * hours:
                events.append({"day": kills.pop(0), "what": "killed and started again"})
                child.send_signal(signal.SIGKILL)
                break
            if place == len(windows):
                break
        child.kill()
        child.wait()
    server.shutdown()
    return scores, events


def full_disk(run: Path, work: Path) -> dict:
    """What asd does where its lines cannot be written."""
    path = work / "one.wav"
    soundfile.write(path, np.concatenate([window(MACHINE, CALIBRATED, hour) for hour in range(3)]), SAMPLE_RATE)
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "asdlib", "stream", "--run", run, "--machine", MACHINE, "--json", "--source", path]
        done = subprocess.run(list(map(str, command)), stdout=full, stderr=subprocess.PIPE, text=True)
    return {"exit": done.returncode, "said": done.stderr.strip()}


def weeks_of(keeper: str, rows: np.ndarray, scores: np.ndarray, days: np.ndarray, threshold: float) -> list[dict]:
    """A row a week: what :func:`asdlib.drift.drift` says, and what the keeper does about it."""
    reference = (days >= CALIBRATED - REFERENCE) & (days < CALIBRATED)
    limit, found, out = threshold, False, []

    def sample(which):
        return Sample(rows[which], scores[which], days[which].tolist())

    for start in range(CALIBRATED, int(days.max()) + 2 - WEEK, WEEK):
        now = (days >= start) & (days < start + WEEK)
        row = {"keeper": keeper, "day": start, "threshold": limit, "alarms": float(np.mean(scores[now] > limit))}
        seen = drift(sample(reference), sample(now), rate=RATE)
        row |= {"changed": seen.changed, "p": min(seen.p_scores, seen.p_embeddings), "higher": seen.higher}
        if seen.changed and keeper != KEEPERS[0] and not found:
            worn = severity(start + WEEK - 1) > 0.2  # who looks finds that
            if worn and keeper == KEEPERS[1]:
                found, row["did"] = True, "found the fault"
            else:
                # On the last two weeks, which are the reference from now on.
                reference = (days >= start + WEEK - REFERENCE) & (days < start + WEEK)
                limit = choose_threshold(scores[reference], rate=RATE).value
                row["did"] = "calibrated again"
        out.append(row)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--hours", type=int, default=24, help="windows of a day")
    parser.add_argument("--budget", default="60s", help="of the training")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    run = prepared(options.work, options.hours, options.budget)
    threshold = read_thresholds(run)[MACHINE][Detector.load(run).scorers[0]].value
    days = np.repeat(np.arange(CALIBRATED - REFERENCE, options.days), options.hours)
    heard = [window(MACHINE, day, hour) for day in np.unique(days) for hour in range(options.hours)]
    detector, waves = Detector.load(run), np.stack(heard).astype(np.float32) / 2**15
    mels = np.stack([log_mel(wave, detector.config.features).numpy().astype(np.float16) for wave in waves])
    rows = embed(detector.model.embed, (waves, mels), device="cpu")
    scores = detector.scores(rows, MACHINE)
    running = days >= CALIBRATED
    told, events = left_running(run, [w for w, now in zip(heard, running, strict=True) if now], options.hours)
    content = {
        "header": {
            "what": "simulated: a fan of the park, heard two seconds at a time; not a real machine",
            "command": f"python benchmarks/year.py WORK --days {options.days} --hours {options.hours} "
            f"--budget {options.budget}",
            "machine": MACHINE,
            "rate": RATE,
            "threshold": threshold,
            "trained until day": TRAINED,
            "calibrated until day": CALIBRATED,
            "fault": {"name": "bearing wear", "from": WORN[0], "to": WORN[1], "severity": WORN[2]},
            "versions": {name: version(name) for name in ("asdlib", "torch", "numpy", "scipy")},
        },
        "checks": {
            "windows": int(running.sum()),
            "unanswered": int(np.isnan(told).sum()),
            "largest difference": float(np.nanmax(np.abs(told - scores[running]) / np.abs(scores[running]))),
            "full disk": full_disk(run, options.work),
        },
        "events": events,
        "days": [
            {
                "day": int(day),
                "summer": summer(day),
                "severity": severity(day),
                "score": np.quantile(scores[days == day], [0.05, 0.5, 0.95]).tolist(),
                "alarms": float(np.mean(scores[days == day] > threshold)),
            }
            for day in np.unique(days)
        ],
        "weeks": [row for keeper in KEEPERS for row in weeks_of(keeper, rows, scores, days, threshold)],
    }
    with atomic_write(FOLDER / "year.json") as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n")
    print(json.dumps(content["checks"], indent=1))


if __name__ == "__main__":
    main()
