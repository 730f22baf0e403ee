"""The exercises of the book that check themselves: the verdict, the hints, and the seal on the right answer."""

import html
import json
import re
import sys
from functools import reduce
from pathlib import Path
from types import SimpleNamespace

import pytest

BOOK = Path(__file__).parents[1] / "book"


@pytest.fixture
def checks(monkeypatch):
    """The module ``checks`` with a chapter ``zoo`` of its own."""
    if not BOOK.is_dir():
        pytest.skip(f"no book in {BOOK}")
    monkeypatch.syspath_prepend(str(BOOK))
    import checks

    def double(answer):
        if answer(3) is None:
            raise checks.Hint("The function returns nothing: <return> it.")
        if answer(3) != 6:
            raise checks.Hint("Three must become six.")

    options = {'a "fan"': "Fans turn.", "a <valve>": "Valves click.", "neither": "One of them does."}
    question = checks.Question("What clicks?", options, seal=checks.seal("a <valve>"))
    chapter = SimpleNamespace(double=double, QUESTIONS={"clicks": question})
    monkeypatch.setitem(sys.modules, "checks.zoo", chapter)
    yield checks
    for name in [name for name in sys.modules if name.split(".")[0] == "checks"]:
        del sys.modules[name]


def verdict(result):
    found = re.fullmatch(r'<div role="status" data-exercise="([^"]*)" data-passed="([^"]*)"[^>]*>(.*)</div>', result.data)
    return found[1], found[2], html.unescape(found[3])


def fnv1a(text):
    """32-bit FNV-1a of ``text`` said 500 times over, from the constants of its specification."""
    prime, basis = 2**24 + 2**8 + 0x93, 0x811C9DC5
    return reduce(lambda value, byte: (value ^ byte) * prime % 2**32, (text * 500).encode(), basis)


@pytest.mark.parametrize("text", ["", "a", "the mean over IDs", "größer als 0"])
def test_a_seal_is_fnv_1a_of_the_option_said_500_times(checks, text):
    assert checks.seal(text) == fnv1a(text)


def test_seals_in_published_chapters_stay_valid(checks):
    assert checks.seal("a <valve>") == 507861417
    assert checks.seal("a <valve>") != checks.seal("a <valve> ")


def test_a_right_answer_passes(checks):
    assert verdict(checks.check("zoo.double", lambda x: 2 * x)) == ("zoo.double", "true", "Right.")


def test_a_wrong_answer_is_given_the_hint_of_its_mistake(checks):
    assert verdict(checks.check("zoo.double", lambda x: x)) == ("zoo.double", "false", "Not yet. Three must become six.")
    nothing = checks.check("zoo.double", lambda x: None)
    assert verdict(nothing)[1:] == ("false", "Not yet. The function returns nothing: <return> it.")
    assert "<return>" not in nothing.data


def test_code_that_raises_is_told_and_not_thrown(checks):
    def broken(x):
        return x["<b>"]

    result = checks.check("zoo.double", broken)
    assert verdict(result)[1:] == ("false", "Not yet. Your code stopped with TypeError: 'int' object is not subscriptable")
    assert verdict(checks.check("zoo.double", ...))[1] == "false"  # what a starter leaves open


def test_a_question_shows_its_options_and_seals_the_right_one(checks):
    page = checks.ask("zoo.clicks").data
    assert '<form id="ask-zoo-clicks"' in page
    values = re.findall(r'<input type="radio" name="ask-zoo-clicks" value="(\d)"> ([^<]*)</label>', page)
    assert values == [("0", "a &quot;fan&quot;"), ("1", "a &lt;valve&gt;"), ("2", "neither")]
    group, options, seal = json.loads("[" + re.search(r"\)\((.*)\);</script>$", page)[1] + "]")
    assert group == "ask-zoo-clicks"
    assert options == [
        [fnv1a('a "fan"'), "Fans turn."],
        [fnv1a("a <valve>"), "Valves click."],
        [fnv1a("neither"), "One of them does."],
    ]
    assert seal == options[1][0]
    assert not re.search(r'(src|href)="', page)


def test_no_feedback_breaks_out_of_the_script(checks):
    options = {"a </script> tag": "As in </script>.", "no": ""}
    sys.modules["checks.zoo"].QUESTIONS["ends"] = checks.Question("What ends it?", options, seal=checks.seal("no"))
    assert checks.ask("zoo.ends").data.count("</script>") == 1


@pytest.mark.parametrize(("seal", "fits"), [(12345, 0), (None, 2)])
def test_a_question_must_have_one_right_option(checks, monkeypatch, seal, fits):
    if seal is None:  # two options under one seal
        monkeypatch.setattr(checks, "seal", lambda option: {"neither": 1}.get(option, 2))
        seal = 2
    asked = checks.Question("What clicks?", {"a": "", "b": "", "neither": ""}, seal=seal)
    sys.modules["checks.zoo"].QUESTIONS["broken"] = asked
    with pytest.raises(AssertionError, match=f"the seal of zoo.broken fits {fits} options, not one"):
        checks.ask("zoo.broken")
