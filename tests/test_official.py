"""``asd evaluate`` and the challenge's official scores, on machines whose file names tell the domain."""

import json
import shutil

import pytest

from asdlib.challenge import FORMULAE, official_parts, official_score
from asdlib.data import scan
from asdlib.detector import Detector, train
from asdlib.metrics import machine_table, type_table
from asdlib.scorers import SCORERS
from tests.conftest import SMALL


@pytest.fixture(scope="module")
def sections(small_park, tmp_path_factory):
    """Fans id_00 and id_02 under the names of 2022: every other clip is of the target domain."""
    root = tmp_path_factory.mktemp("sections")
    for path in sorted(small_park.glob("fan/*/*_id_0[02]_*.wav")):
        label, _, machine, number = path.stem.split("_")
        split, domain = path.parent.name, ("source", "target")[int(number) % 2]
        new = root / "fan" / split / f"section_{machine}_{domain}_{split}_{label}_{number[-4:]}_vel_4.wav"
        new.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, new)
    return root


@pytest.fixture(scope="module")
def run(sections, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "sections"
    train(scan(sections), path, SMALL, cache=tmp_path_factory.getbasetemp() / "feature-cache")
    return path


@pytest.fixture(scope="module")
def table(sections, run):
    return Detector.load(run).score_clips([clip for clip in scan(sections) if clip.split == "test"])


def test_the_table_of_scores_tells_domains(table):
    assert set(table.domain) == {"source", "target"}
    assert ([name.split("_")[2] for name in table.name] == table.domain).all()


@pytest.mark.parametrize("kind", [None, *FORMULAE])
def test_the_official_score_stands_beside_the_plain_auc(asd, sections, run, table, kind):
    words = ("evaluate", sections, "--run", run, *(() if kind is None else ("--official", kind)))
    code, out, _ = asd(*words, "--json")
    found = json.loads(out)["official"]
    scored = table.assign(score=table.softmax)
    expected = official_score(scored, kind or "mixed")
    assert code == 0
    assert (found["kind"], found["years"]) == (kind or "mixed", FORMULAE[kind or "mixed"].years)
    assert found["score"] == found["scores"]["softmax"] == pytest.approx(expected)
    assert set(found["scores"]) == {*SCORERS, "plain"}
    assert found["scores"]["knn"] == pytest.approx(official_score(table.assign(score=table.knn), kind or "mixed"))
    parts = official_parts(scored, kind or "mixed")
    for machine, row in found["machines"].items():
        assert row == pytest.approx(parts.loc[machine].to_dict())
    code, out, _ = asd(*words)
    average = type_table(machine_table(scored, resamples=0)).auc["average"]
    lines = out[out.index(f"DCASE {found['years']} official score, {kind or 'mixed'} (%)") :].splitlines()
    (row,) = [line for line in lines if line.split("│")[1:] and line.split("│")[1].strip() == "softmax"]
    assert [cell.strip() for cell in row.split("│")[1:-1]] == ["softmax", f"{100 * expected:.2f}", f"{100 * average:.2f}"]
    assert ("AUC source" in out) == (kind != "arithmetic")


def test_without_domains_there_is_no_official_score_unless_one_is_asked_for(asd, small_park, small_run):
    assert json.loads(asd("evaluate", small_park, "--run", small_run, "--json")[1])["official"] is None
    assert "official" not in asd("evaluate", small_park, "--run", small_run)[1]
    words = ("evaluate", small_park, "--run", small_run, "--official")
    found = json.loads(asd(*words, "arithmetic", "--json")[1])
    average = found["averages"]["softmax"]
    assert found["official"]["score"] == pytest.approx((average["auc"] + average["pauc"]) / 2)
    code, out, error = asd(*words, "mixed")
    assert (code, out) == (2, "")
    assert "no official score mixed" in " ".join(error.split())
    assert "fan/id_00 has no normal clip of the source domain" in " ".join(error.split())
    assert asd(*words, "geometric")[0] == 2


def test_a_section_without_target_clips_is_told_and_the_rest_is_printed(asd, sections, run, tmp_path):
    shutil.copytree(sections, tmp_path / "data")
    for path in tmp_path.glob("data/fan/test/section_02_target_test_normal_*.wav"):
        path.unlink()
    code, out, _ = asd("evaluate", tmp_path / "data", "--run", run)
    assert code == 0
    assert "no official score (mixed): fan/section_02 has no normal clip of the target domain" in out
    assert "average over the types" in out
    result = json.loads(asd("evaluate", tmp_path / "data", "--run", run, "--json")[1])
    assert result["official"] is None
    assert result["official_lacks"] == ["fan/section_02 has no normal clip of the target domain"]


def test_unlabelled_clips_ask_for_no_official_score(asd, sections, run, tmp_path):
    """As in the challenge's evaluation set, before the truth is published."""
    test = tmp_path / "fan" / "test"
    test.mkdir(parents=True)
    for number, path in enumerate(sorted(sections.glob("fan/test/section_00_*.wav"))):
        shutil.copy(path, test / f"section_00_{number:04}.wav")
    code, out, _ = asd("evaluate", tmp_path, "--run", run)
    assert (code, "official" in out) == (0, False)
    code, _, error = asd("evaluate", tmp_path, "--run", run, "--official", "arithmetic")
    assert code == 2
    assert "no clip is known to be normal or anomalous" in " ".join(error.split())
