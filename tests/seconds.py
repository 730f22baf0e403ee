"""Which tests are quick? Measured once, kept in ``seconds.json``, and measured anew by ``make seconds``.

``pytest --measure`` writes how long each test itself took, and each fixture that several tests share. ``pytest --quick``
leaves out the tests that are :data:`SLOW`, and those that need a slow fixture; what is new is quick until it is measured. How
many were left out is said at the end ("deselected").
"""

import json
import time
from pathlib import Path

import pytest

KEPT = Path(__file__).with_name("seconds.json")
SLOW = {"tests": 0.5, "fixtures": 3.0}  # seconds, from which on
LEAST = 0.2  # that are worth keeping
MEASURED = pytest.StashKey[dict[str, dict[str, float]]]()


def pytest_addoption(parser):
    group = parser.getgroup("seconds")
    group.addoption("--quick", action="store_true", help="leave out tests that were measured to be slow")
    group.addoption("--measure", action="store_true", help=f"measure all tests, and write {KEPT.name}")


def pytest_configure(config):
    config.stash[MEASURED] = {"tests": {}, "fixtures": {}}


def _name(fixture) -> str:
    """Of a fixture that several tests share: where it is defined, and what it is called."""
    return f"{fixture.baseid}::{fixture.argname}"


def _shared(item) -> list[str]:
    """The names of the shared fixtures that a test needs."""
    info = getattr(item, "_fixtureinfo", None)
    found = info.name2fixturedefs.values() if info else ()
    return [_name(fixtures[-1]) for fixtures in found if fixtures[-1].scope != "function"]


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef, request):
    begun = time.perf_counter()
    try:
        return (yield)
    finally:
        if fixturedef.scope != "function":
            of = request.config.stash[MEASURED]["fixtures"]
            of[_name(fixturedef)] = max(of.get(_name(fixturedef), 0), time.perf_counter() - begun)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    begun = time.perf_counter()
    try:
        return (yield)
    finally:
        item.config.stash[MEASURED]["tests"][item.nodeid] = time.perf_counter() - begun


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    if not config.getoption("--quick") or not KEPT.exists():
        return
    kept = json.loads(KEPT.read_text())
    tests, fixtures = ({name for name, x in kept[kind].items() if x >= SLOW[kind]} for kind in ("tests", "fixtures"))
    slow = [item for item in items if item.nodeid in tests or fixtures.intersection(_shared(item))]
    config.hook.pytest_deselected(items=slow)
    chosen = set(map(id, slow))
    items[:] = [item for item in items if id(item) not in chosen]


def pytest_sessionfinish(session):
    own = session.config.stash[MEASURED]
    if hasattr(session.config, "workeroutput"):  # one of several processes of pytest-xdist
        session.config.workeroutput["seconds"] = own
    elif session.config.getoption("--measure"):
        slow = {
            kind: {name: round(seconds, 1) for name, seconds in sorted(found.items()) if seconds >= LEAST}
            for kind, found in own.items()
        }
        KEPT.write_text(json.dumps(slow, indent=1) + "\n")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    own = node.config.stash[MEASURED]
    for kind, found in getattr(node, "workeroutput", {}).get("seconds", {}).items():
        for name, seconds in found.items():
            own[kind][name] = max(own[kind].get(name, 0), seconds)
