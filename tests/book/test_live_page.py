"""The living machine in a page, worked as a reader would: it sounds, it is judged as in Python, and the address keeps it."""

import base64
import json
import re
import shutil
from urllib.parse import urlencode

import numpy as np
import pytest
import soundfile

from asdlib.cache import clip_of
from asdlib.detector import embed
from asdlib.errors import AsdError
from asdlib.features import log_mel
from asdlib.live import TYPICAL, challenge, engine, hearing, living_machine
from asdlib.machines import faults, machines, park_facts, render
from asdlib.web import described, front_end

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
    parts = (turned, challenge(), hearing(1.0), engine(described(detector), park_facts()))
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


def test_surroundings_that_are_kept_are_those_of_the_clip(opened):
    """Whatever of the surroundings is asked for, between two clips that are alike, is heard, and only then."""
    env = {**render("fan/id_00", 0).nuisance, "events": 1}
    usual = {"machine": "fan/id_00", "severity": 0, "env": env, "moment": 7}
    first = opened.evaluate(ASK, usual)["waveform"]
    for other in (
        {**usual, "moment": 8},
        *({**usual, "env": env | one} for one in ({"room_decay": 0.6}, {"background_slope": 9.0}, {"events": 2}, {"snr": 3.0})),
    ):
        assert opened.evaluate(ASK, other)["waveform"] != first
        assert opened.evaluate(ASK, usual)["waveform"] == first


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
        colours, height, texts, sizes = opened.evaluate(
            """name => {
            const canvas = document.querySelector("." + name), { width, height } = canvas, seen = new Set();
            const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
            for (let i = 0; i < data.length; i += 4) seen.add(data.slice(i, i + 4).join());
            const texts = Array.from(canvas.closest("figure").querySelectorAll("span, figcaption"));
            return [seen.size, canvas.getBoundingClientRect().height, texts.map((text) => text.textContent),
                texts.map((text) => parseFloat(getComputedStyle(text).fontSize))];
        }""",
            name,
        )
        assert colours > 30
        assert height >= 240
        assert texts[:-4] == (["0", "0.5", "1", "2", "4", "8 kHz"] if name == "logmel" else ["0", "16", "32"])
        assert texts[-4:-1] == ["0", "0.5", "1 s"]
        assert min(sizes) >= 12


def test_the_brightest_line_lies_where_the_axis_says(opened, tmp_path):
    """A tone of 2 kHz, beside the label of 2 kHz; what comes first is left."""
    seconds = np.arange(16000) / 16000
    soundfile.write(tmp_path / "tone.wav", np.where(seconds < 0.5, 0.01 * np.sin(2 * np.pi * 2000 * seconds), 0), 16000)
    opened.locator(".file").set_input_files(tmp_path / "tone.wav")
    opened.wait_for_function("() => document.querySelector('.verdict').textContent.includes('tone.wav')")
    place, row, column = opened.evaluate(
        """() => {
        const canvas = document.querySelector(".logmel"), { width, height } = canvas, box = canvas.getBoundingClientRect();
        const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
        const light = (i) => data[i] + data[i + 1] + data[i + 2];
        const places = Array.from({ length: width * height }, (_, i) => i);
        const best = places.reduce((best, i) => light(4 * i) > light(4 * best) ? i : best);
        const label = Array.from(document.querySelectorAll(".logmel-axis span")).find((text) => text.textContent === "2");
        const at = label.getBoundingClientRect();
        const labelled = (at.top + at.height / 2 - box.top) / box.height;
        return [labelled, (Math.floor(best / width) + 0.5) / height, (best % width) / width];
    }"""
    )
    assert abs(place - row) < 0.04
    assert column < 0.5


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


@pytest.fixture
def challenged(opened, html, tmp_path, detector):
    """The page with a fault whose alarm depends on it: the threshold lies between the scores without and with it."""
    for machine in detector.config.machines:
        for fault in faults(machine):
            what = {"machine": machine, "fault": fault, "env": TYPICAL, "moment": 1}
            scores = {
                severity: opened.evaluate(ASK, what | {"severity": severity})["scores"][detector.label(machine)]
                for severity in (0, 0.5, 1.5, 2)
            }
            if min(scores[0.5], scores[1.5], scores[2]) > scores[0] + 1e-3:
                limit = (scores[0] + min(scores[0.5], scores[1.5], scores[2])) / 2
                path = tmp_path / "challenge.html"
                path.write_text(re.sub(r'"thresholds":\{"[^}]*\}', f'"thresholds":{{"{machine}":{limit}}}', html, count=1))
                state = urlencode({"machine": machine, "fault": fault, "severity": 0})
                opened.goto(f"{path.as_uri()}#~test:{state}")
                opened.wait_for_selector(ANSWERED)
                return machine, fault
    raise AssertionError("the small detector hears no fault at all")


def cells(page, row):
    return page.locator(f".{row} td").all_text_contents()[:3]


def test_the_address_keeps_what_is_set_and_the_records(opened, challenged):
    machine, fault = challenged
    told = opened.locator(".asd-challenge .told")
    turn(opened, "severity", 1.5)
    opened.locator("button.missed").click()
    assert told.text_content().startswith("It raises the alarm: it is not missed")
    opened.locator("button.caught").click()
    opened.wait_for_function("() => document.querySelector('.asd-challenge .told').textContent.startsWith('Your record.')")
    turn(opened, "severity", 2)
    opened.locator("button.caught").click()
    assert told.text_content() == "Your record is severity 1.5 already."
    turn(opened, "severity", 0)
    opened.locator("button.caught").click()
    assert told.text_content().startswith("Choose a fault")
    turn(opened, "severity", 0.5)
    opened.locator("button.caught").click()
    opened.wait_for_function("() => document.querySelector('.caught-own td').textContent === '0.5'")
    assert cells(opened, "caught-own") == ["0.5", fault, machine]
    assert cells(opened, "missed-own")[0] == "none yet"
    assert opened.locator(".caught-sent").is_hidden()
    opened.wait_for_function("() => location.hash.includes('caught=0.5')")  # the address follows a little later
    # Here nothing but the address keeps it, so to the next reader it is a record to beat; it brings its setting.
    opened.reload()
    opened.wait_for_selector(ANSWERED)
    assert opened.locator("[data-name=severity]").input_value() == "0.5"
    assert cells(opened, "caught-sent") == ["0.5", fault, machine]
    assert cells(opened, "caught-own")[0] == "none yet"
    assert told.text_content() == "Somebody has sent you a record to beat."
    turn(opened, "severity", 1.5)
    opened.locator("button.caught").click()
    opened.wait_for_function(
        "() => document.querySelector('.caught-own td').textContent === '1.5'"
    )  # worse, and still one's own
    opened.locator(".caught-sent button").click()
    opened.wait_for_function("() => document.querySelector('[data-name=severity]').value === '0.5'")


def test_an_alarm_without_the_fault_is_no_catch(opened):
    """With a threshold below every score, the healthy machine raises it, too."""
    turn(opened, "severity", 1.5)
    opened.locator("button.caught").click()
    opened.wait_for_function("() => document.querySelector('.asd-challenge .told').textContent.includes('a false alarm')")
    assert cells(opened, "caught-own")[0] == "none yet"


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
    with pytest.raises(AsdError, match="no part sound: choose of dial, logmel, tgram, bars"):
        living_machine(machines()[:1], show=("dial", "sound"))
    with pytest.raises(AsdError, match="one machine at least"):
        living_machine([])


def test_what_travels_is_json_and_names_the_detector(detector):
    page = engine(described(detector))._repr_html_()
    payload = json.loads(page.split('type="application/json">')[1].split("</script>")[0])
    assert payload["run"]["machines"] == list(detector.config.machines)
    assert payload["park"] is None


def opened_with(page, path, *parts):
    path.write_text("<!doctype html><html lang=en><title>x</title>" + "".join(part._repr_html_() for part in parts) + "</html>")
    page.goto(path.as_uri())
    return page.locator(".asd-machine")


def test_before_the_method_a_park_without_a_detector(page, tmp_path, detector):
    """It makes what the detector's page makes, and shows the log-mel; it is small, and scores nothing."""
    features = detector.config.features
    alone = engine(front_end(features), park_facts())
    machine = living_machine(machines(), show=("logmel",), machine="fan/id_00", fault="bearing wear", own=True)
    assert len(alone._repr_html_()) < 120_000
    root = opened_with(page, tmp_path / "page.html", machine, alone)
    page.wait_for_selector(ANSWERED)
    page.locator("[data-name=severity]").fill("1.5")
    page.wait_for_function("() => document.querySelector('.verdict').textContent === 'fan/id_00, bearing wear, severity 1.5'")
    assert root.locator(".tgram, .bars, .dial, .near").count() == 0
    assert "simulated park is in this page" in page.locator(".asd-engine").text_content()
    found = page.evaluate("""async () => {
        const engine = await asdlib.engine.get(), waveform = Float32Array.from({ length: 3000 }, () => Math.random() - 0.5);
        const answer = await engine.ask({}, "sound", { waveform, machine: "fan/id_00" });
        return [Array.from(answer.logMel), Array.from(waveform), answer.scores === undefined];
    }""")
    wanted = log_mel(np.resize(np.float32(found[1]), features.samples), features).numpy()
    assert np.abs(np.reshape(found[0], wanted.shape) - wanted).max() < 0.05
    assert found[2]


def test_what_a_reader_hears_is_told_beside_the_average_and_kept(page, tmp_path, detector):
    path = tmp_path / "page.html"
    machine = living_machine(machines(), show=(), machine="fan/id_00", fault="bearing wear", name="ear")
    opened_with(page, path, machine, hearing(0.94), engine(front_end(detector.config.features), park_facts()))
    page.wait_for_selector(ANSWERED)
    told, button, table = page.locator(".asd-hearing .told"), page.locator(".now"), page.locator(".asd-hearing table")
    assert not table.is_visible()
    button.click()
    assert told.text_content().startswith("Choose a fault")
    page.locator("[data-name=severity]").fill("0.35")
    page.wait_for_function("() => document.querySelector('.verdict').textContent.endsWith('severity 0.35')")
    button.press("Enter")
    assert told.text_content() == "You hear it from severity 0.35 on. The faulty recordings have 0.9 on average."
    page.wait_for_function("() => location.hash.includes('hearing:')")  # the address follows a little later
    page.reload()
    page.wait_for_selector(ANSWERED)
    assert table.locator("tbody tr").all_text_contents() == ["fan/id_00, bearing wear0.35"]


def test_in_a_notebook_each_is_an_output_of_its_own_and_the_address_is_left_alone(page, tmp_path, detector):
    """As JupyterLab does: the HTML of an output is put into the page, and then its scripts are run."""
    (tmp_path / "lab.html").write_text('<!doctype html><html lang=en><title>x</title><body data-jp-theme-name="Light"></html>')
    page.goto((tmp_path / "lab.html").as_uri())
    machine = living_machine(machines(), show=("logmel",), machine="fan/id_00", fault="bearing wear", name="lab")
    for part in (machine, hearing(1.0), engine(front_end(detector.config.features), park_facts())):
        page.evaluate(
            """html => {
            const output = document.body.appendChild(document.createElement("div"));
            output.innerHTML = html;
            output.querySelectorAll("script:not([type])").forEach((script) => {
                const run = document.createElement("script");
                run.textContent = script.textContent;
                script.replaceWith(run);
            });
        }""",
            part._repr_html_(),
        )
    page.wait_for_selector(ANSWERED)
    page.locator("[data-name=severity]").fill("1")
    page.wait_for_function("() => document.querySelector('.verdict').textContent.endsWith('severity 1')")
    page.locator(".now").click()
    assert page.locator(".asd-hearing .told").text_content().startswith("You hear it from severity 1 on.")
    assert "#" not in page.url


def test_what_the_engine_lacks_is_said(page, tmp_path, detector):
    machine = living_machine(detector.config.machines, show=("dial", "logmel"))
    for behind, said in (
        (engine(front_end(detector.config.features), park_facts()), "A score needs a detector"),
        (engine(described(detector)), "needs the park"),
    ):
        root = opened_with(page, tmp_path / "page.html", machine, behind)
        page.wait_for_function("said => document.querySelector('.verdict').textContent.includes(said)", arg=said)
        assert root.get_attribute("data-state") is None


def test_a_question_that_fails_says_so(opened):
    """A machine of a type that the park does not have."""
    opened.evaluate("""() => {
        const option = new Option("fan/id_99", "fan/id_99");
        document.querySelector(".machine").add(option);
        option.selected = true;
        document.querySelector("[data-name=severity]").dispatchEvent(new Event("input"));
    }""")
    opened.wait_for_selector('.asd-machine[data-state="failed"]')
    assert opened.locator(".verdict").text_content().startswith("This sound could not be made or judged: ")


def test_an_overtaken_question_has_the_answer_null(opened):
    answers = opened.evaluate("""async () => {
        const engine = await asdlib.engine.get(), asker = {}, waveform = new Float32Array(16000).fill(0.1);
        const asked = [0, 1, 2, 3].map(() => engine.ask(asker, "sound", { waveform, machine: engine.about.machines[0] }));
        return (await Promise.all(asked)).map((answer) => answer && "answered");
    }""")
    assert answers == ["answered", None, None, "answered"]
