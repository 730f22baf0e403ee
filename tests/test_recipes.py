"""What ``asd stream --json`` writes goes into other programs as it is: a real broker of MQTT, Prometheus's own parser."""

import json
import shlex
import shutil
import socket
import subprocess
import sys
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from asdlib.machines import render

RECIPES = Path(__file__).parents[1] / "book" / "recipes"
MACHINE, RATE = "fan/id_02", 16000


@pytest.fixture(scope="module")
def samples():
    """Two seconds of a fan, and one of silence, as they come from a sound card."""
    x = np.concatenate([render(MACHINE, 0, split="test").waveform[: 2 * RATE], np.zeros(RATE)])
    return np.round(x * 2**15).clip(-(2**15), 2**15 - 1).astype("<i2").tobytes()


def piped(run, samples, into, log):
    """What ``asd stream --json`` writes of ``samples``, and the program ``into`` has got through a pipe: its lines."""
    words = [sys.executable, "-m", "asdlib", "stream", "--run", run, "--machine", MACHINE, "--threshold", "0", "--json"]
    line = f"{shlex.join(map(str, words))} | tee {log} | {shlex.join(map(str, into))}"
    subprocess.run(["bash", "-o", "pipefail", "-c", line], input=samples, check=True)
    return log.read_text().splitlines()


@pytest.fixture
def broker():
    """The port of an MQTT broker that knows nobody."""
    with closing(socket.socket()) as place:
        place.bind(("127.0.0.1", 0))
        port = place.getsockname()[1]
    with subprocess.Popen(["mosquitto", "-p", str(port)], stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(100):
                with closing(socket.socket()) as client:
                    if client.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            yield port
        finally:
            process.terminate()


@pytest.mark.skipif(shutil.which("mosquitto_pub") is None, reason="no mosquitto and mosquitto-clients are installed")
def test_a_broker_gets_every_line_and_hands_it_on(small_run, samples, broker, tmp_path):
    """As ``... --json | mosquitto_pub -l -t asd/fan``, and somebody who has asked for it before."""
    about = ["-p", str(broker), "-q", "1", "-t", "asd/fan"]
    reader = ["mosquitto_sub", *about, "-i", "reader", "-c"]
    subprocess.run([*reader, "-E"], check=True)  # ends once it is known to the broker, which keeps its messages
    sent = piped(small_run, samples, ["mosquitto_pub", "-l", *about], tmp_path / "log")
    got = subprocess.run([*reader, "-C", "3", "-W", "60"], check=True, capture_output=True, text=True).stdout
    assert got.splitlines() == sent
    assert [json.loads(line)["silent"] for line in sent] == [False, False, True]


def read_back(path):
    """{(name, machine): value}, by Prometheus's own parser."""
    families = list(text_string_to_metric_families(path.read_text()))
    assert {family.name: family.type for family in families}["asd_gaps"] == "counter"
    return {(s.name, s.labels["machine"]): s.value for family in families for s in family.samples}


def test_prometheus_reads_the_last_window_of_a_stream(small_run, samples, tmp_path):
    out = tmp_path / "asd.prom"
    sent = piped(small_run, samples, [sys.executable, RECIPES / "prometheus.py", out], tmp_path / "log")
    last = json.loads(sent[-1])
    moment = datetime.fromisoformat(last["time"]).timestamp()
    wanted = {"threshold": 0, "alarm": last["alarm"], "silent": 1, "time": moment, "gaps_total": 0}
    assert read_back(out) == {(f"asd_{name}", MACHINE): value for name, value in wanted.items()}  # silence has no score
    assert sorted(path.name for path in tmp_path.iterdir()) == ["asd.prom", "log"]


def test_prometheus_reads_several_machines_gaps_and_names_with_any_letters(tmp_path):
    window = {"time": "2026-01-31T23:59:59.500Z", "score": 1.25e-7, "threshold": None, "alarm": None, "silent": False}
    odd = 'Lüfter/"a\\b"'
    rows = [
        {"machine": odd, "event": "gap"},
        *({"machine": name} | window for name in (odd, MACHINE)),
        {"machine": odd, "event": "gap"},
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    subprocess.run([sys.executable, RECIPES / "prometheus.py", tmp_path / "a.prom"], input=lines.encode(), check=True)
    found = read_back(tmp_path / "a.prom")
    assert [found[("asd_gaps_total", name)] for name in (odd, MACHINE)] == [2, 0]
    assert found[("asd_score", odd)] == 1.25e-7
    assert found[("asd_time", MACHINE)] == datetime.fromisoformat(window["time"]).timestamp()
    assert ("asd_threshold", odd) not in found
