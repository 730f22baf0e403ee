"""The book as an EPUB: well-formed, complete, heard and seen without a script, and nothing of it lost."""

import json
import re
import sys
import zipfile
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "book" / "_ext"))

from epub import epub

from asdlib.listen import listen
from tests.book.conftest import BUILD

TOP = Path(__file__).parents[2]
SVG = '<svg viewBox="0 0 1 1" role="img" aria-label="dot"><linearGradient id="g"></linearGradient></svg>'
ASK = """<form id="ask-a-b" class="ask"><fieldset><legend>Why &amp; how?</legend>
<label><input type="radio" value="0"> No</label>
<label><input type="radio" value="1"> Yes</label></fieldset><button>check</button><span role="status"></span></form>
<script>(function (group, options, seal) {})("ask-a-b", [[12, "Wrong, (so) it is."], [7, "So \\u003c it is."]], 7);</script>"""


def made(tmp_path, one="", two=""):
    """An EPUB of two pages that hold this."""
    pages = tmp_path / "html"
    (pages / "book").mkdir(parents=True, exist_ok=True)
    (pages / "_static").mkdir(exist_ok=True)
    (pages / "_static" / "card.png").write_bytes(b"\x89PNG")
    for name, body in (("one", one), ("two", two)):
        heading = f'<h1>The {name} &amp; only<a class="headerlink" href="#x">#</a></h1>'
        page = f'<nav>no</nav><article class="bd-article">{heading}{body}</article><script>no</script>'
        (pages / "book" / f"{name}.html").write_text(f"<!doctype html><html><body>{page}</body></html>")
    epub(pages, ["book/one", "book/two", "book/progress"], "A title & more", tmp_path / "a.epub")
    with zipfile.ZipFile(tmp_path / "a.epub") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def chapter(files, name="one"):
    return files[f"book/{name}.xhtml"].decode()


def test_it_is_a_container_whose_list_is_complete(tmp_path):
    files = made(tmp_path, '<img alt="a dot" src="data:image/png;base64,AAAA">')
    with zipfile.ZipFile(tmp_path / "a.epub") as archive:
        first = archive.infolist()[0]
    assert (first.filename, first.compress_type, files["mimetype"]) == ("mimetype", zipfile.ZIP_STORED, b"application/epub+zip")
    for name in files:
        if name.endswith((".xhtml", ".opf", ".xml")):
            ElementTree.fromstring(files[name])  # well-formed
    package = ElementTree.fromstring(files["book/package.opf"])
    listed = {item.get("href") for item in package.iter("{http://www.idpf.org/2007/opf}item")}
    assert {f"book/{path}" for path in listed} == set(files) - {"mimetype", "META-INF/container.xml", "book/package.opf"}
    order = [item.get("idref") for item in package.iter("{http://www.idpf.org/2007/opf}itemref")]
    assert order == ["one", "two"]
    assert "The one &amp; only</a>" in files["book/nav.xhtml"].decode()
    assert made(tmp_path, '<img alt="a dot" src="data:image/png;base64,AAAA">') == files  # the same pages, the same bytes


def test_a_sound_is_a_file_with_its_picture_and_what_is_heard(tmp_path):
    player = listen(np.sin(np.arange(32000) / 3).astype(np.float32) / 4, "a <high> tone")._repr_html_()
    files = made(tmp_path, player)
    text = chapter(files)
    (sound,) = re.findall(r'<audio[^>]* src="(media/\w+\.mp3)"', text)
    assert files[f"book/{sound}"][:2] in (b"\xff\xfb", b"\xff\xf3", b"ID")
    (alt,) = re.findall(r'<img alt="([^"]*)"', text)
    assert alt.startswith("Spectrogram: a &lt;high&gt; tone. Strongest at 840 Hz")
    assert "a &lt;high&gt; tone (Picture: 0 to 2 s, 0 to 8 kHz.)</figcaption>" in re.sub(r"\s+", " ", text)
    assert "script" not in text
    assert "asdlib" not in text


def test_what_only_a_script_can_do_is_named(tmp_path):
    widget = '<div class="asd asd-threshold" aria-label="Threshold room"><button>x</button><svg></svg></div>'
    text = chapter(made(tmp_path, widget))
    words = "On the page of this chapter (one.html) there is something to work with here: Threshold room."
    assert f'<p class="only-pages">{words}</p>' in text
    assert "<button" not in text
    moving, drawn = '<div class="moving">no</div>', f'<div class="still"><p>before</p>{SVG}</div>'
    still = f'<div class="asd asd-maps" aria-label="m">{moving}{drawn}</div>'
    text = chapter(made(tmp_path, still))
    assert "no</div>" not in text
    assert '<svg aria-label="dot" role="img" viewBox="0 0 1 1" xmlns="http://www.w3.org/2000/svg"><linearGradient' in text


def test_a_question_has_its_answers_folded(tmp_path):
    text = chapter(made(tmp_path, ASK))
    assert "<strong>Why &amp; how?</strong></p><ol><li>No</li><li>Yes</li></ol>" in text
    answers = "<ol><li>Not quite. Wrong, (so) it is.</li><li>Right. So &lt; it is.</li></ol>"
    assert f"<details><summary>Answer</summary>{answers}</details>" in text


def test_formulas_are_mathml_and_links_stay_in_the_book(tmp_path):
    body = r"""<p><span class="math">\(x_i &lt; 2\)</span></p><div class="math" id="equation-1 a"><span class="eqno">(1)</span>
    \[\frac{a}{b}\]</div><a href="two.html#equation-1 a">there</a> <a href="../slides/one.html">slides</a>
    <a href="https://example.org/x">away</a> <a href="#equation-1 a">here</a><section id="s"><p id="s">twice</p></section>"""
    text = chapter(made(tmp_path, body))
    assert text.count("<math ") == 2
    assert re.search(r"<msub><mi>x</mi><mi>i</mi></msub><mo>(&lt;|&#x0003C;)</mo><mn>2</mn>", text)
    assert "<mfrac><mrow><mi>a</mi></mrow><mrow><mi>b</mi></mrow></mfrac>" in text
    assert "(1)" in text
    assert '<div class="math" id="equation-1-a">' in text
    assert '<a href="two.xhtml#equation-1-a">there</a> <a>slides</a>' in text
    assert '<a href="https://example.org/x">away</a> <a href="#equation-1-a">here</a>' in text
    assert text.count('id="s"') == 1


def test_a_picture_that_is_missing_is_told(tmp_path):
    with pytest.raises(LookupError, match=r"^\.\./_images/no\.png is not there: the page shows it$"):
        made(tmp_path, '<img src="../_images/no.png" alt="x">')


@pytest.mark.skipif(not (BUILD / "asd-book.epub").exists(), reason=f"no finished book in {BUILD}: make editions first")
def test_the_whole_book_is_in_it():
    with zipfile.ZipFile(BUILD / "asd-book.epub") as archive:
        names = set(archive.namelist())
        texts = {PurePosixPath(n).stem: archive.read(n).decode() for n in names if n.endswith(".xhtml")}
    for path in (TOP / "book").glob("*.ipynb"):
        assert f"<h1>{''.join(json.loads(path.read_text())['cells'][0]['source']).splitlines()[0].removeprefix('# ')}<" in (
            re.sub(r"&amp;", "&", texts[path.stem])
        )
    for name, text in texts.items():
        root = ElementTree.fromstring(text)
        assert "<script" not in text
        assert not re.search(r'(src|href)="(?!media/|style\.css|https?:|mailto:|#|[\w-]+\.xhtml)', text)
        for address in re.findall(r'(?:src|href)="([^"#:]+)(?:#[^"]*)?"', text):
            assert f"book/{address}" in names, (name, address)
        own = [part.get("id") for part in root.iter() if part.get("id")]
        assert len(own) == len(set(own))
        for image in root.iter("{http://www.w3.org/1999/xhtml}img"):
            assert image.get("alt"), (name, image.attrib)
    assert sum(text.count("<audio") for text in texts.values()) > 40
    assert sum(text.count("<math") for text in texts.values()) > 100
