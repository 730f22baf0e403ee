"""The living machine in a page, worked as a reader would: it sounds, it is judged as in Python, and the address keeps it."""

import base64
import json
import shutil

import numpy as np
import pytest
import soundfile

from asdlib.cache import clip_of
from asdlib.detector import embed
from asdlib.errors import AsdError
from asdlib.live import challenge, engine, living_machine
from asdlib.machines import faults, machines, park_facts, render
from asdlib.web import described

ANSWERED = '.asd-machine[data-state="answered"]'
# Asked past the widget: the answer as the worker gives it, its sound as text.
ASK = """what => asdlib.engine.get().then((engine) => engine.ask({}, "clip", what)).then((answer) => ({
    waveform: btoa(Array.from(new Uint8Array(answer.waveform.buffer), (byte) => String.fromCharCode(byte)).join("")),
    scores: Array.from(answer.scores), distances: answer.neighbours.map((one) => one.distance)
}))"""


@pytest.fixture(scope="module")
def html(detector):
    """A page with the small detector, one machine to turn, and the challenge."""
    own = detector.config.machines
    known = {m: np.random.default_rng(0).uniform(size=((detector.bank_labels == k).sum(), 2)) for k, m in enumerate(own)}
    turned = living_machine(
        own,
        machine=own[1],
        fault=faults(own[1])[0],
        controls=("severity", "speed", "moment"),
        own=True,
        thresholds=dict.fromkeys(own[1:], -1.0) | {own[0]: 1e9},
        usual={own[1]: 0.5},
        places=known,
        name="test",
    )
    parts = (turned, challenge(), engine(described(detector), park_facts()))
    return (
        "<!doctype html><html lang=en><title>x</title><main>" + "".join(part._repr_html_() for part in parts) + "</main></html>"
    )


@pytest.fixture
def opened(page, html, tmp_path):
    """The page, opened from disk, once it has answered."""
    (tmp_path / "page.html").write_text(html)
    page.goto((tmp_path / "page.html").as_uri())
    page.wait_for_selector(ANSWERED)
    return page


def turn(page, name, value):
    """Move a slider as a reader does, and wait for the answer."""
    page.evaluate("() => { document.querySelector('.asd-machine').dataset.state = ''; }")
    page.locator(f"[data-name={name}]").fill(str(value))
    page.wait_for_selector(ANSWERED)
    return float(page.locator(".asd-machine").get_attribute("data-score"))


def test_what_is_heard_and_judged_in_the_page_is_judged_so_in_python(opened, detector):
    """Healthy and faulty clips of every machine that it knows."""
    env = {**render("fan/id_00", 0).nuisance, "events": 0}
    for machine in detector.config.machines:
        for fault, severity in (("", 0), (faults(machine)[0], 1.5)):
            found = opened.evaluate(ASK, {"machine": machine, "fault": fault, "severity": severity, "env": env, "moment": 7})
            waveform = np.frombuffer(base64.b64decode(found["waveform"]), "<f4")
            assert len(waveform) == detector.config.features.samples
            assert 0.005 < waveform.std() < 0.2
            row = embed(detector.model.embed, tuple(x[None] for x in clip_of(waveform, detector.config.features)))
            wanted = [detector.scores(row, name, "softmax")[0] for name in detector.config.machines]
            assert np.abs(np.array(found["scores"]) - wanted).max() < 0.05
            assert np.mean(found["distances"][:2]) == pytest.approx(detector.scores(row, machine, "knn")[0], abs=1e-3)


def test_sliders_choices_and_keys_change_what_is_heard_and_said(opened, detector):
    healthy = turn(opened, "severity", 0)
    verdict = opened.locator(".verdict")
    assert "healthy: score" in verdict.text_content()
    assert verdict.text_content().endswith("ALARM")  # any score is above -1
    worse = turn(opened, "severity", 2)
    assert worse != healthy
    assert f"{faults(detector.config.machines[1])[0]}, severity 2: score" in verdict.text_content()
    assert turn(opened, "speed", 1.1) != worse
    turn(opened, "speed", 1)
    assert turn(opened, "severity", 0) == healthy  # the same moment again
    assert turn(opened, "moment", 2) != healthy
    opened.locator(".machine").select_option(detector.config.machines[0])
    opened.wait_for_function("() => document.querySelector('.verdict').textContent.endsWith('no alarm')")
    offered = opened.locator(".fault option").all_text_contents()
    assert offered == ["none", *faults(detector.config.machines[0])]
    before = opened.locator("[data-name=severity]").input_value()
    opened.locator("[data-name=severity]").press("ArrowRight")
    assert float(opened.locator("[data-name=severity]").input_value()) == float(before) + 0.05
    opened.locator(".play").press("Enter")
    opened.wait_for_selector('.asd-machine[data-played="yes"]')


def test_of_many_turns_in_a_row_the_last_one_counts(opened):
    """The page does not work through what nobody waits for any more."""
    count = opened.evaluate("""async () => {
        const root = document.querySelector(".asd-machine"), slider = root.querySelector("[data-name=severity]");
        let answers = 0;
        root.addEventListener("heard", () => { answers += 1; });
        for (let i = 0; i <= 40; i++) { slider.value = i / 20; slider.dispatchEvent(new Event("input")); }
        const verdict = root.querySelector(".verdict"), later = (done) => setTimeout(done, 20);
        while (!verdict.textContent.includes("severity 2:")) await new Promise(later);
        return answers;
    }""")
    assert count <= 3
    alone = float(opened.locator(".asd-machine").get_attribute("data-score"))
    turn(opened, "severity", 1)
    assert turn(opened, "severity", 2) == alone


def test_pictures_have_axes_and_something_in_them(opened):
    for name in ("logmel", "tgram"):
        colours, corner, height = opened.evaluate(
            """name => {
            const canvas = document.querySelector("." + name), pen = canvas.getContext("2d");
            const middle = pen.getImageData(60, 20, 300, 200).data, seen = new Set();
            for (let i = 0; i < middle.length; i += 4) seen.add(middle.slice(i, i + 3).join());
            return [seen.size, Array.from(pen.getImageData(1, 1, 1, 1).data), canvas.getBoundingClientRect().height];
        }""",
            name,
        )
        assert colours > 30
        assert corner == [255, 255, 255, 255]
        assert height >= 240


def test_a_sound_of_one_s_own_is_heard_and_what_of_it_is_said(opened, tmp_path, detector):
    """In another rate and in stereo, shorter and longer than a clip; and a file that is no sound."""
    seconds = detector.config.features.seconds
    rng = np.random.default_rng(0)
    for name, length, said in (("short.wav", 0.4, "0.4 s, repeated"), ("long.wav", 3.0, f"the first {seconds:g} of its 3.0 s")):
        soundfile.write(tmp_path / name, 0.1 * rng.normal(size=(int(44100 * length), 2)), 44100)
        opened.locator(".file").set_input_files(tmp_path / name)
        opened.wait_for_function("name => document.querySelector('.verdict').textContent.includes(name)", arg=name)
        assert f"{name} ({said}): score" in opened.locator(".verdict").text_content()
    (tmp_path / "no.wav").write_text("no sound")
    opened.locator(".file").set_input_files(tmp_path / "no.wav")
    opened.wait_for_function("() => document.querySelector('.verdict').textContent.includes('no.wav is no sound')")


def test_the_address_keeps_what_is_set_and_the_records(opened, detector):
    turn(opened, "severity", 1.5)
    told = opened.locator(".asd-challenge .told")
    opened.locator(".missed").click()
    assert told.text_content().startswith("It raises the alarm")
    opened.locator(".caught").click()
    assert told.text_content().startswith("Kept in the address")
    turn(opened, "severity", 2)
    opened.locator(".caught").click()
    assert told.text_content() == "Your record is severity 1.5 already."
    turn(opened, "severity", 0)
    opened.locator(".caught").click()
    assert told.text_content().startswith("Choose a fault")
    turn(opened, "severity", 0.5)
    opened.locator(".caught").click()
    opened.reload()
    opened.wait_for_selector(ANSWERED)
    assert opened.locator("[data-name=severity]").input_value() == "0.5"
    machine, fault = detector.config.machines[1], faults(detector.config.machines[1])[0]
    assert opened.locator(".caught-row td").all_text_contents() == ["0.5", fault, machine]
    assert opened.locator(".missed-row td").all_text_contents()[0] == "none yet"


def test_it_is_accessible(opened, axe):
    opened.evaluate(axe)
    found = opened.evaluate("axe.run(document, { runOnly: ['wcag2a', 'wcag2aa'] })")
    assert [(one["id"], [node["html"][:90] for node in one["nodes"]]) for one in found["violations"]] == []


def test_two_seconds_from_the_microphone(browser, html, tmp_path):
    """Chromium's own test tone, without a question to the user; and the sentence of a browser that refuses."""
    (tmp_path / "page.html").write_text(html)
    fake = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    for given, said in ((fake, "your microphone: score"), ([], "No microphone")):
        other = browser.browser_type.launch(executable_path=program, args=["--no-sandbox", *given])
        page = other.new_page()
        page.goto((tmp_path / "page.html").as_uri())
        page.wait_for_selector(ANSWERED)
        page.locator(".record").click()
        page.wait_for_function("said => document.querySelector('.verdict').textContent.includes(said)", arg=said)
        other.close()


def test_what_cannot_be_shown_is_refused():
    with pytest.raises(AsdError, match=r"no control 'tune'|no control tune"):
        living_machine(machines()[:1], controls=("severity", "tune"))
    with pytest.raises(AsdError, match="one machine at least"):
        living_machine([])


def test_what_travels_is_json_and_names_the_detector(detector):
    page = engine(described(detector))._repr_html_()
    payload = json.loads(page.split('type="application/json">')[1].split("</script>")[0])
    assert payload["run"]["machines"] == list(detector.config.machines)
    assert payload["park"] is None
