"""Clips: arrays and the names of their machines, in one order, however they are picked."""

import numpy as np
import pytest

from asdlib.clips import Clips
from asdlib.errors import AsdError
from asdlib.features import FeatureConfig

MACHINES = ["pump/id_00", "fan/id_02", "fan/id_00", "fan/id_02", "pump/id_00"]
ROWS = np.arange(10.0).reshape(5, 2)


def clips(features=None):
    return Clips((ROWS, ROWS[:, 0].astype(int)), MACHINES, features)


def test_labels_count_the_machines_sorted_by_name():
    assert len(clips()) == 5
    assert clips().names == ["fan/id_00", "fan/id_02", "pump/id_00"]
    assert clips().labels.tolist() == [2, 1, 0, 1, 2]
    assert clips().labels.dtype == np.int64
    assert clips().types.tolist() == ["pump", "fan", "fan", "fan", "pump"]


@pytest.mark.parametrize("rows", [[3, 0], np.array([True, False, False, True, True]), [], slice(1, 3)])
def test_rows_are_picked_from_everything_alike(rows):
    picked = clips(FeatureConfig()).only(rows)
    np.testing.assert_array_equal(picked.inputs[0], ROWS[rows])
    np.testing.assert_array_equal(picked.inputs[1], ROWS[rows][:, 0])
    assert picked.machines.tolist() == np.array(MACHINES)[rows].tolist()
    assert picked.features == FeatureConfig()
    assert picked.names == sorted(set(picked.machines.tolist()))  # and labels count these


def test_the_clips_of_a_machine_and_of_each_type_keep_their_order():
    assert clips().of("fan/id_02").inputs[1].tolist() == [2, 6]
    assert len(clips().of("fan/id_99")) == 0
    by_type = {name: own.inputs[1].tolist() for name, own in clips().by_type()}
    assert by_type == {"fan": [2, 4, 6], "pump": [0, 8]}
    assert [name for name, _ in clips().by_type()] == ["fan", "pump"]


def test_sound_has_waveforms_and_log_mels_and_nothing_else_has():
    assert clips(FeatureConfig()).waveforms.tolist() == ROWS.tolist()
    assert clips(FeatureConfig()).log_mels.tolist() == [0, 2, 4, 6, 8]
    for name in ("waveforms", "log_mels"):
        with pytest.raises(AsdError, match="these clips are no sound"):
            getattr(clips(), name)


@pytest.mark.parametrize("inputs", [(ROWS[1:],), (ROWS, ROWS[:4])])
def test_arrays_of_another_length_than_the_names_are_refused(inputs):
    with pytest.raises(AsdError, match=rf"input {len(inputs) - 1} has 4 rows for 5 machine names: give one for each clip"):
        Clips(inputs, MACHINES)


@pytest.mark.parametrize("name", ["fan", "/id_00", "fan/", "fan/id/00", ""])
def test_a_machine_is_called_by_its_type_and_its_id(name):
    with pytest.raises(AsdError, match=f"a machine is called '{name}': call it <type>/<id>"):
        Clips((), ["fan/id_00", name])


def test_clips_are_themselves_only():
    """Arrays cannot be compared as a whole: clips are told apart as objects, and can be the keys of a dictionary."""
    one, other = clips(), clips()
    assert one != other
    assert len({one: 1, other: 2}) == 2
    with pytest.raises(AttributeError):
        one.features = None
