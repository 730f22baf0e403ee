"""Which tests are quick: measured by one run of pytest, and left out by another."""

import json

import pytest

from tests import seconds

pytest_plugins = ["pytester"]

FILE = """
import time
import pytest

@pytest.fixture(scope="module")
def shared():
    time.sleep(0.3)

def test_with_it(shared):
    pass

def test_with_it_again(shared):
    pass

def test_slow():
    time.sleep(0.3)

def test_quick():
    pass
"""


@pytest.fixture
def kept(pytester, monkeypatch):
    path = pytester.path / "seconds.json"
    monkeypatch.setattr(seconds, "KEPT", path)
    monkeypatch.setattr(seconds, "SLOW", {"tests": 0.25, "fixtures": 0.25})
    pytester.makepyfile(test_some=FILE)
    return path


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one process", "two"])
def test_a_slow_test_is_left_out_and_so_are_all_that_need_a_slow_fixture(pytester, kept, workers):
    pytester.runpytest_inprocess("-p", "tests.seconds", "--measure", *workers).assert_outcomes(passed=4)
    found = json.loads(kept.read_text())
    assert list(found["tests"]) == ["test_some.py::test_slow"]
    assert list(found["fixtures"]) == ["test_some.py::shared"]
    pytester.runpytest_inprocess("-p", "tests.seconds", "--quick").assert_outcomes(passed=1, deselected=3)


def test_what_was_never_measured_is_quick(pytester, kept):
    pytester.runpytest_inprocess("-p", "tests.seconds", "--quick").assert_outcomes(passed=4)
    kept.write_text('{"tests": {"test_some.py::test_quick": 9.0}, "fixtures": {}}')
    pytester.runpytest_inprocess("-p", "tests.seconds", "--quick").assert_outcomes(passed=3, deselected=1)
    pytester.runpytest_inprocess("-p", "tests.seconds").assert_outcomes(passed=4)
