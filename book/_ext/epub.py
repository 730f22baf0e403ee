"""The book as an EPUB 3, to be read away from a computer: made of the built pages of the reader's edition.

Sounds and pictures lie in files, formulas are MathML, questions have their answers folded below them. What only a script can
do stays on the pages, and a line says so.
"""

import base64
import hashlib
import json
import re
import uuid
from html import escape
from pathlib import Path, PurePosixPath

from bs4 import BeautifulSoup, Tag
from latex2mathml.converter import convert

from asd_book.packages import element, pack, written

MODIFIED = "2026-01-01T00:00:00Z"  # the format asks for a date; one of today would make every build another file
LEFT_OUT = ("progress",)  # a page that its script fills
KINDS = {"jpeg": "jpg", "png": "png", "mpeg": "mp3", "svg+xml": "svg"}
MIME = {"jpg": "image/jpeg", "png": "image/png", "mp3": "audio/mpeg", "svg": "image/svg+xml"}
DROPPED = "script, style, button, input, .headerlink, .sd-d-none, .seen .khz, .seen .seconds, .cursor, .sign, .progress-words"
OLD = ("align", "valign", "border", "width", "height", "bgcolor", "cellpadding", "cellspacing", "tabindex", "aria-valuenow")
XHTML, OPS = "http://www.w3.org/1999/xhtml", "http://www.idpf.org/2007/ops"
STYLE = """body { line-height: 1.5; } img, svg { max-width: 100%; height: auto; } audio { width: 100%; }
pre { font-size: 0.8em; white-space: pre-wrap; border-left: 3px solid #0068a3; padding-left: 0.6em; }
table { border-collapse: collapse; } th, td { padding: 0.2em 0.6em; text-align: left; border-bottom: 1px solid #7a8794; }
.admonition, .ask, .only-pages { border-left: 5px solid #0068a3; padding: 0.2em 0.8em; margin: 1em 0; }
.asd-players img { width: 100%; height: 14em; }
.admonition-title { font-weight: bold; } figure { margin: 1em 0; } dd { margin-left: 2em; }
"""


def epub(pages: Path, chapters: list[str], title: str, target: Path) -> None:
    """Write the ``chapters`` (as in the table of contents, front page first) of the built ``pages`` to ``target``.

    The same pages give the same bytes. Raises ``LookupError`` where a page has a picture that is not there.
    """
    names = [Path(chapter).name for chapter in chapters if Path(chapter).name not in LEFT_OUT]
    media: dict[str, bytes] = {}
    texts, headings = {}, {}
    for name in names:
        page = BeautifulSoup((pages / "book" / f"{name}.html").read_text(), "html5lib")
        article = page.select_one("article.bd-article")
        headings[name] = article.h1.get_text().removesuffix("#").strip()
        _make_static(article, name, pages)
        _refer(article, names, pages, media)
        texts[name] = _document(headings[name], article.decode_contents(formatter="minimal"))
    card = pages / "_static" / "card.png"
    media["media/cover.png"] = card.read_bytes()
    files = {f"book/{name}.xhtml": text.encode() for name, text in texts.items()}
    files |= {f"book/{path}": content for path, content in media.items()} | {"book/style.css": STYLE.encode()}
    files["book/nav.xhtml"] = _contents(title, headings)
    files["book/package.opf"] = _package(title, texts, media, hashlib.sha256(b"".join(files.values())).digest())
    files["META-INF/container.xml"] = _container()
    pack({"mimetype": b"application/epub+zip", **files}, target)


def _make_static(article: Tag, name: str, pages: Path) -> None:
    """Widgets, questions, folded cells and formulas as something that stands still."""
    new = BeautifulSoup("", "html5lib").new_tag
    for form in article.select("form.ask"):
        _answer(form, new)
    for widget in article.select(".asd"):
        kind = next(part.removeprefix("asd-") for part in widget["class"] if part.startswith("asd-"))
        if kind == "maps":
            widget.select_one(".still").unwrap()
            for part in widget.select(".moving, .controls, .note"):
                part.decompose()
        elif kind != "players":
            words = f"On the page of this chapter ({name}.html) there is something to work with here: {widget['aria-label']}."
            line = new("p", attrs={"class": "only-pages"})
            line.string = words
            widget.replace_with(line)
    for seen in article.select(".asd-players .seen"):  # its axes, in words
        seconds, khz = (seen.select(f".{axis} span")[-1].get_text() for axis in ("seconds", "khz"))
        seen.find_parent("figure").figcaption.append(f" (Picture: 0 to {seconds} s, 0 to {khz} kHz.)")
    for part in article.select(DROPPED):
        part.decompose()
    for part in article.select(".picture, .seen"):
        part.attrs = {}
    for summary in article.select("summary"):
        words = summary.select_one(".collapsed") or summary
        summary.string = words.get_text().strip()
        summary.attrs = {}
    for formula in article.select("span.math, div.math"):
        number = formula.select_one(".eqno")
        if number:
            number.extract()
        tex = re.sub(r"^\\[(\[]|\\[)\]]$", "", formula.get_text().strip()).strip()
        tex = re.sub(r"\\(?:begin|end)\{split\}", "", tex)
        block = "block" if formula.name == "div" else "inline"
        formula.clear()
        formula.append(BeautifulSoup(convert(tex, display=block), "html5lib").math)
        if number:
            formula.append(number)


def _answer(form: Tag, new) -> None:
    """A question with its options as a list, and what is said of each below it."""
    script = form.find_next("script").string
    options, seal = json.loads("[" + script[script.rindex('("ask-') :].split(",", 1)[1].rsplit(")", 1)[0] + "]")
    question, items, told = new("p"), new("ol"), new("ol")
    question.append(new("strong"))
    question.strong.string = form.legend.get_text()
    for label, (mark, words) in zip(form.select("label"), options, strict=True):
        items.append(new("li"))
        items.contents[-1].string = label.get_text().strip()
        told.append(new("li"))
        told.contents[-1].string = f"{'Right. ' if mark == seal else 'Not quite. '}{words}"
    folded, summary, box = new("details"), new("summary"), new("div", attrs={"class": "ask"})
    summary.string = "Answer"
    folded.extend([summary, told])
    box.extend([question, items, folded])
    form.replace_with(box)


def _refer(article: Tag, names: list[str], pages: Path, media: dict[str, bytes]) -> None:
    """Sounds and pictures in files, links to the chapters, and no attribute that the format has not."""
    for part in article.select("[src]"):
        source = part["src"]
        if source.startswith("data:"):
            kind, content = re.match(r"data:\w+/([\w+]+);base64,(.*)", source, re.DOTALL).groups()
            content, ending = base64.b64decode(content), KINDS[kind]
        else:
            file = pages / "book" / source
            if not file.is_file():
                raise LookupError(f"{source} is not there: the page shows it")
            content, ending = file.read_bytes(), file.suffix.removeprefix(".")
        path = f"media/{hashlib.blake2b(content, digest_size=8).hexdigest()}.{ending}"
        media[path] = content
        part["src"] = path
    for link in article.select("a[href]"):
        path, _, place = link["href"].partition("#")
        stem = PurePosixPath(path).stem
        if re.match(r"[a-z]+:", path) or not path:
            continue
        if "/" not in path and stem in names:
            link["href"] = f"{stem}.xhtml" + (f"#{place}" if place else "")
        else:
            del link["href"]
    taken = set()
    for part in article.find_all(True):
        for attribute in OLD:
            if part.name not in ("svg", "img", "rect", "math", "mtable", "mspace", "use", "image"):
                part.attrs.pop(attribute, None)
        if "id" in part.attrs:
            part["id"] = _identifier(part["id"])
            if part["id"] in taken:  # sphinx-exercise calls the content of every exercise the same
                del part["id"]
            else:
                taken.add(part["id"])
        if part.name == "a" and "#" in part.get("href", ""):
            page, place = part["href"].split("#", 1)
            part["href"] = f"{page}#{_identifier(place)}"
        if part.name == "svg":
            part["xmlns"] = "http://www.w3.org/2000/svg"
        if part.name == "math":
            part["xmlns"] = "http://www.w3.org/1998/Math/MathML"


def _identifier(text: str) -> str:
    """A name as XML wants it."""
    return re.sub(r"^(?=[^A-Za-z_])", "_", re.sub(r"[^\w.-]", "-", text))


def _document(title: str, body: str) -> str:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE html>\n<html xmlns="{XHTML}" xmlns:epub="{OPS}" lang="en" '
        f'xml:lang="en"><head><title>{escape(title)}</title><link rel="stylesheet" type="text/css" href="style.css"/></head>\n'
        f"<body>{body}</body></html>\n"
    )


def _contents(title: str, headings: dict[str, str]) -> bytes:
    items = "".join(f'<li><a href="{name}.xhtml">{escape(words)}</a></li>' for name, words in headings.items())
    return _document(title, f'<nav epub:type="toc" id="toc"><h1>Contents</h1><ol>{items}</ol></nav>').encode()


def _container() -> bytes:
    root = element(None, "container", version="1.0", xmlns="urn:oasis:names:tc:opendocument:xmlns:container")
    about = {"full-path": "book/package.opf", "media-type": "application/oebps-package+xml"}
    element(element(root, "rootfiles"), "rootfile", **about)
    return written(root)


def _package(title: str, texts: dict[str, str], media: dict[str, bytes], digest: bytes) -> bytes:
    """The list of everything that is in the book, and what a reader who hears or sees little has to know of it."""
    about = {"unique-identifier": "book", "xml:lang": "en"}
    root = element(None, "package", xmlns="http://www.idpf.org/2007/opf", version="3.0", **about)
    head = element(root, "metadata", xmlns__dc="http://purl.org/dc/elements/1.1/")
    element(head, "dc:identifier", f"urn:uuid:{uuid.UUID(bytes=digest[:16], version=4)}", id="book")
    for name, text in {"title": title, "language": "en", "creator": "The asdlib authors", "rights": "CC BY 4.0"}.items():
        element(head, f"dc:{name}", text)
    facts = [("dcterms:modified", MODIFIED)]
    facts += [("schema:accessMode", mode) for mode in ("textual", "visual", "auditory")]
    facts += [("schema:accessibilityFeature", has) for has in ("alternativeText", "MathML", "tableOfContents")]
    facts += [("schema:accessibilityHazard", "none")]
    facts += [
        ("schema:accessibilitySummary", "Pictures are described; sounds have a spectrogram and a text; formulas are MathML.")
    ]
    for name, text in facts:
        element(head, "meta", text, property=name)
    manifest, spine = element(root, "manifest"), element(root, "spine")

    def item(identifier: str, path: str, kind: str, properties: str) -> None:
        has = {"properties": properties} if properties else {}
        element(manifest, "item", id=identifier, href=path, **{"media-type": kind}, **has)

    item("nav", "nav.xhtml", "application/xhtml+xml", "nav")
    item("style", "style.css", "text/css", "")
    for path in sorted(media):
        name = PurePosixPath(path)
        item(f"m-{name.stem}", path, MIME[name.suffix[1:]], "cover-image" if name.stem == "cover" else "")
    for name, text in texts.items():
        properties = " ".join(kind for kind, sign in (("mathml", "<math"), ("svg", "<svg")) if sign in text)
        item(name, f"{name}.xhtml", "application/xhtml+xml", properties)
        element(spine, "itemref", idref=name)
    return written(root)
