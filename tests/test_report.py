"""The report: the most urgent recordings first, each judged by the threshold of its machine, and its text as text."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asdlib.data import Clip, read, scan
from asdlib.report import HEARD, Judged, write_report

CLIP = Clip(Path("x.wav"), "fan", "id_00", "test", "unknown")


@pytest.fixture(scope="module")
def clips(small_park):
    """Three test recordings of each of two machines."""
    found = [clip for clip in scan(small_park) if clip.split == "test"]
    return [clip for machine in ("fan/id_00", "valve/id_00") for clip in [c for c in found if c.machine == machine][:3]]


@pytest.fixture(scope="module")
def scores(detector, clips):
    return dict(zip(clips, detector.score_clips(clips, scorers=["softmax"])["softmax"], strict=True))


def rows_of(page):
    """(machine, recording, score, threshold, alarm) of every row of the table, in order."""
    rows = re.findall(r"<tr>(<td.*?)</tr>", page.read_text())
    return [tuple(re.findall(r"<td[^>]*>(.*?)</td>", row)) for row in rows]


def test_alarms_come_in_the_order_of_their_excess_in_shares_of_the_threshold(detector, clips, scores, tmp_path):
    """The machine whose scores are larger comes second, though its excess is the larger difference."""
    top = {clip.machine: max(score for c, score in scores.items() if c.machine == clip.machine) for clip in clips}
    small, large = sorted(top, key=top.__getitem__)
    ratio = top[small] / top[large]
    limits = {small: top[small] / 1.2, large: top[large] / (1 + 0.2 * (1 + ratio) / 2)}
    assert top[large] - limits[large] > top[small] - limits[small]
    alarms = write_report(tmp_path / "page.html", clips, detector, limits)
    rows = rows_of(tmp_path / "page.html")
    expected = [clip for clip in clips if scores[clip] > limits[clip.machine]]
    expected.sort(key=lambda clip: scores[clip] / limits[clip.machine], reverse=True)
    expected += sorted(set(clips) - set(expected), key=scores.__getitem__, reverse=True)
    assert [row[:2] for row in rows] == [(clip.machine, clip.path.name) for clip in expected]
    assert rows[0][0] == small
    assert [row[4] for row in rows] == ["ALARM"] * alarms + ["no"] * (len(clips) - alarms)
    shown = [(float(row[2]), float(row[3])) for row in rows]
    np.testing.assert_allclose(shown, [(scores[c], limits[c.machine]) for c in expected], rtol=1e-3)


def test_scores_near_their_threshold_are_seen_on_their_side(detector, clips, scores, tmp_path):
    """The threshold is the smallest number above the score, then the largest below it."""
    clip = clips[0]
    for direction, verdict in ((np.inf, "no"), (-np.inf, "ALARM")):
        limit = float(np.nextafter(scores[clip], direction))
        write_report(tmp_path / "page.html", clips, detector, {clip.machine: limit})
        rows = {row[:2]: row[2:] for row in rows_of(tmp_path / "page.html")}
        score, shown, alarm = rows[clip.machine, clip.path.name]
        assert (alarm, float(score) > float(shown)) == (verdict, verdict == "ALARM")
        assert score != shown


def test_a_score_at_the_threshold_is_no_alarm_and_a_threshold_of_zero_divides_nothing():
    assert Judged(CLIP, 2.0, 2.0).urgency == (False, 2.0)
    assert Judged(CLIP, 2.0, None).urgency == (False, 2.0)
    assert Judged(CLIP, 3.0, 2.0).urgency == (True, 0.5)
    assert Judged(CLIP, -2.0, -4.0).urgency == (True, 0.5)
    assert Judged(CLIP, 1.0, 0.0).urgency > Judged(CLIP, 1000.0, 1.0).urgency


def test_the_first_recordings_of_the_table_can_be_heard(detector, small_park, tmp_path):
    clips = [clip for clip in scan(small_park) if clip.split == "test"][: HEARD + 2]
    assert write_report(tmp_path / "page.html", clips, detector, {}) == 0
    page = (tmp_path / "page.html").read_text()
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", page)
    shown = [f"{machine}, {name}: score {score}" for machine, name, score, *_ in rows_of(tmp_path / "page.html")]
    assert captions == shown[:HEARD]
    assert {row[3:] for row in rows_of(tmp_path / "page.html")} == {("", "not judged")}


def test_no_more_is_heard_than_is_scored(detector, clips, tmp_path):
    path = tmp_path / "normal_id_00_long.wav"
    soundfile.write(path, np.tile(read(clips[0].path), 3), 16000)
    write_report(tmp_path / "page.html", [replace(clips[0], path=path)], detector, {})
    assert re.findall(r'aria-valuemax="(.*?)"', (tmp_path / "page.html").read_text()) == ["1"]  # seconds


def test_names_are_text_and_a_single_alarm_is_one(detector, clips, scores, tmp_path):
    clip = max(clips, key=lambda clip: scores[clip])
    path = tmp_path / "normal_id_00_<b>&.wav"
    shutil.copy(clip.path, path)
    page = tmp_path / "page.html"
    limits = {clip.machine: scores[clip] / 2}
    assert write_report(page, [replace(clip, path=path)], detector, limits) == 1
    text = page.read_text()
    assert "<title>1 alarm in 1 recordings</title>" in text
    assert "normal_id_00_&lt;b&gt;&amp;.wav" in text
    assert "<b>" not in text
    assert "No threshold has been chosen" not in text
    write_report(page, [replace(clip, path=path)], detector, {})
    assert f"No threshold has been chosen for {clip.machine}: asd threshold." in page.read_text()
