"""The model card of a run: what stands in it is what the run is."""

import json
import re

from asdlib import methods
from asdlib.data import scan
from asdlib.use.model_card import last_figures


def test_it_says_what_was_heard_how_it_was_trained_and_what_it_is_not_for(small_run, small_park, detector):
    card = (small_run / "README.md").read_text()
    config = json.loads((small_run / "config.json").read_text())
    training = [clip for clip in scan(small_park) if clip.split == "train"]
    rows = dict(re.findall(r"^\| (\S+/id_\d\d) \| ([\d,]+) \|$", card, re.M))
    assert rows == {m: str(sum(c.machine == m for c in training)) for m in sorted({c.machine for c in training})}
    assert methods.get("clp_scf").NAME in card
    assert f"seed {config['seed']}, " in card
    assert config["data"] in card
    parameters = sum(weight.numel() for weight in detector.model.parameters())
    assert f"{parameters:,} parameters" in card
    assert "Recorded at 16,000 Hz" in card
    kept = json.loads((small_run / "scores.json").read_text())["percentiles"]
    assert all(f"`{name}`" in card for scorers in kept.values() for name in scorers)
    assert re.search(r"Loss in the last epoch: pretrain [\d.]+.*; finetune [\d.]+", card)
    for sentence in ("It is no safety device", "It has never heard a fault", "here under what licence"):
        assert sentence in " ".join(card.split())


def test_no_name_of_a_recording_or_folder_stands_in_it(small_run, small_park):
    card = (small_run / "README.md").read_text()
    assert str(small_park) not in card
    assert ".wav" not in card
    assert "{" not in card  # nothing was left to be filled in


def test_a_damaged_log_leaves_the_card_without_figures(tmp_path):
    (tmp_path / "log.csv").write_text("stage,epoch\n")
    assert last_figures(tmp_path / "log.csv") == ""
    assert last_figures(tmp_path / "none.csv") == ""
