"""Slides of a chapter's core figures: one self-contained page, made of the cells tagged ``slide`` of its executed notebook.

Arrow keys, space bar or scrolling move from slide to slide; N, or the button, shows what to say: the prose that stands around
the cell in the chapter. Printing gives one slide a sheet, with what to say below it where that is shown.
"""

import html
import re
from pathlib import Path

MARK = (Path(__file__).parents[1] / "mark" / "favicon.svg").read_text()
STYLE = """
html { scroll-snap-type: y proximity; counter-reset: slide; }
body { margin: 0; font: 1.3rem/1.4 sans-serif; color: #222; background: #fff; }
section { min-height: 100vh; box-sizing: border-box; padding: 4vh 6vw; scroll-snap-align: start; display: flex;
  flex-direction: column; justify-content: center; page-break-after: always; counter-increment: slide; position: relative; }
section::after { content: counter(slide); position: absolute; right: 1.2rem; bottom: 1.6rem; font-size: 0.9rem;
  color: #595959; }
h1 { font-size: 2.4rem; } h2 { font-size: 1.6rem; margin: 0 0 0.8rem; }
img.figure { max-width: 100%; max-height: 66vh; object-fit: contain; align-self: center; }
table { border-collapse: collapse; align-self: center; }
th, td { padding: 0.2rem 1rem; text-align: left; border-bottom: 1px solid #ccc; }
p { margin: 0.6rem 0; }
section > svg { width: 5rem; height: auto; }
section > .drawing svg { width: 100%; max-height: 62vh; }
.told { display: none; border-left: 4px solid #c24e00; background: #f4f4f4; padding: 0.4rem 1rem; margin-top: 1rem;
  font-size: 1.05rem; max-width: 60rem; }
.telling .told { display: block; }
.telling img.figure { max-height: 48vh; }
footer { position: fixed; left: 1rem; bottom: 0.4rem; font-size: 0.8rem; color: #595959; display: flex; gap: 1rem;
  align-items: baseline; }
footer button { font: inherit; color: #222; background: #fff; border: 1px solid #767676; border-radius: 4px;
  padding: 0.1rem 0.6rem; }
@media print { footer { display: none; } section { min-height: 0; height: 98vh; } }
"""
SCRIPT = """
var button = document.querySelector("footer button");
function tell() { button.setAttribute("aria-pressed", document.body.classList.toggle("telling")); }
button.addEventListener("click", tell);
document.addEventListener("keydown", function (event) {
  if (event.target.closest(".asd, audio, input, select") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "n" || event.key === "N") return tell();
  var by = { ArrowRight: 1, PageDown: 1, " ": 1, ArrowLeft: -1, PageUp: -1 }[event.key];
  if (!by || (event.key === " " && event.target.closest("button"))) return;
  event.preventDefault();
  var slides = Array.from(document.querySelectorAll("section")), now = 0;
  slides.forEach(function (slide, i) { if (slide.getBoundingClientRect().top <= 2) now = i; });
  slides[Math.max(0, Math.min(slides.length - 1, now + by))].scrollIntoView();
});
"""


def slides(notebook: dict, book_title: str, titles: dict[str, str] | None = None) -> str:
    """The page of slides of an executed ``notebook``; ``titles`` of chapters by name, for what is said of them."""
    cells = notebook["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    title = text.splitlines()[0].removeprefix("# ")
    goal = re.search(r"\*\*After this chapter you can\*\*(.*?)(?:\n\n|\*\*You need|$)", text, re.DOTALL)
    words = plain(" ".join(goal[1].split())) if goal else ""
    aim = f"<p>After it you can {words}</p>" if words else ""
    sections = [f"<section>{MARK}<h1>{html.escape(title)}</h1>{aim}</section>"]
    heading, said, before = title, glued(notebook), set()
    for i, cell in enumerate(cells):
        if cell["cell_type"] == "markdown":
            heading = (re.findall(r"^##+ (.*)$", "".join(cell["source"]), re.MULTILINE) or [heading])[-1]
        elif "slide" in cell["metadata"].get("tags", []):
            around = [*_paragraphs(reversed(cells[:i]))[-1:], *_paragraphs(cells[i + 1 :])[:1]]
            told = [_whole(plain(" ".join(words.split()), said, titles)) for words in around]
            told = [words for words in told if words and words not in before]
            before |= set(told)
            shown = [content for output in cell["outputs"] if (content := _content(output, cell, said))]
            sections += [section(plain(heading), content, told if content is shown[-1] else []) for content in shown]
    return page(f"{title}: slides", sections, book_title)


def page(title: str, sections: list[str], book_title: str) -> str:
    """A page of slides; ``sections`` as :func:`section` gives them."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>\n'
        f"<body><main>{''.join(sections)}</main><footer><span>{html.escape(book_title)}</span>"
        f'<button type="button" aria-pressed="false">what to say (N)</button></footer><script>{SCRIPT}</script></body></html>\n'
    )


def section(heading: str, content: str, told: list[str], *, level: int = 2) -> str:
    """One slide; ``told`` are the paragraphs of what to say. All of them are HTML."""
    note = '<div class="told" role="note" aria-label="What to say">'
    note = f"{note}{''.join(f'<p>{words}</p>' for words in told)}</div>" if told else ""
    return f"<section><h{level}>{heading}</h{level}>{content}{note}</section>"


def picture(cell: dict, said: dict[str, str] | None = None) -> str | None:
    """The first picture that a ``cell`` shows, with its caption; None where it shows none."""
    return next((shown for output in cell["outputs"] if "<img" in (shown := _content(output, cell, said))), None)


def _content(output: dict, cell: dict, said: dict[str, str] | None = None) -> str:
    data = output.get("data", {})
    about = cell["metadata"].get("mystnb", {})
    if "image/png" in data:
        caption, alt = about.get("figure", {}).get("caption", ""), about.get("image", {}).get("alt", "")
        inside = "".join(data["image/png"]).replace("\n", "")
        image = f'<img class="figure" alt="{html.escape(alt)}" src="data:image/png;base64,{inside}">'
        return f"{image}<p>{plain(caption, said)}</p>"
    return "".join(data.get("text/html", ""))


def _paragraphs(cells) -> list[str]:
    """The paragraphs of the first of ``cells`` that is prose, without headings, blocks, lists and equations.

    Prose that is for the teacher alone, or part of a solution, is passed over.
    """
    for cell in cells:
        if cell["cell_type"] != "markdown" or {"teacher", "solution"} & set(cell["metadata"].get("tags", [])):
            continue
        text = re.sub(r"(`{3,}|\$\$).*?\1", "", "".join(cell["source"]), flags=re.DOTALL)
        parts = [part.strip("\n") for part in re.split(r"\n\s*\n", text)]
        return [part for part in parts if part and not re.match(r"[\s#|:<]|[*-] |\*\*(After this|You need|Time)", part)]
    return []


def _whole(words: str) -> str:
    """A paragraph without a last sentence that announces what is not on the slide."""
    return re.sub(r"(?:^|(?<=[.?!)]) )[^.?!]*:$", "", words).strip()


def glued(notebook: dict) -> dict[str, str]:
    """What the prose shows of the chapter's results: name → as Python writes it."""
    prefix, found = "application/papermill.record/text/plain", {}
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            if "scrapbook" in output.get("metadata", {}) and prefix in output["data"]:
                found[output["metadata"]["scrapbook"]["name"]] = "".join(output["data"][prefix])
    return found


def _shown(role: str, said: dict[str, str]) -> str:
    """A result as ``{glue:text}`name:.1f``` shows it."""
    name, _, form = " ".join(role.split()).partition(":")
    value = said.get(name, "…").strip("'\"")
    return format(float(value), form) if form and name in said else value


def _formula(tex: str) -> str:
    """A formula in a line as letters: what a speaker reads, not what a typesetter does."""
    signs = {
        "theta": "θ",
        "pi": "π",
        "sigma": "σ",
        "tau": "τ",
        "mu": "μ",
        "varphi": "φ",
        "sum": "Σ",
        "alpha": "α",
        "lambda": "λ",
        "cdot": "·",
        "times": "×",
    }
    signs |= {
        "le": "≤",
        "ge": "≥",
        "ne": "≠",
        "neq": "≠",
        "approx": "≈",
        "pm": "±",
        "sqrt": "√",
        "lVert": "‖",
        "rVert": "‖",
        "infty": "∞",
    }
    tex = re.sub(r"\\(?:text|mathrm|mathbf|operatorname)\{([^}]*)\}", r"\1", tex)
    tex = re.sub(r"\\([A-Za-z]+)", lambda name: signs.get(name[1], name[1]), tex)
    tex = re.sub(r"_\{?([^{}\s]+)\}?", r" \1", tex)
    return re.sub(r"[{}]|\\.", "", tex)


def plain(text: str, said: dict[str, str] | None = None, titles: dict[str, str] | None = None) -> str:
    """MyST prose as plain words: links and roles reduced to what they say, emphasis, tags and dollar signs dropped."""
    text = re.sub(r"\{glue:text\}`([^`]*)`", lambda role: _shown(role[1], said or {}), text)
    text = re.sub(r"\[\]\((\w+)\)", lambda link: f"“{titles[link[1]]}”" if link[1] in (titles or {}) else link[0], text)
    text = re.sub(r"\{eq\}`[^`]*`", "the equation", re.sub(r"\{cite:t\}`[^`]*`", "others", text))
    text = re.sub(r"\$([^$]+)\$|\{math\}`([^`]+)`", lambda formula: _formula(formula[1] or formula[2]), text)
    text = re.sub(r" ?\{cite:\w+\}`[^`]*`| ?\(?\[\]\([\w-]+\)\)?", "", text)
    text = re.sub(r"\[([^\]]+)\]\([^)]*\)|\{\w+\}`([^`<]+)[^`]*`", lambda m: m[1] or m[2], text)
    text = re.sub(r"</?\w+[^>]*>", "", text)
    return re.sub(r"[*`$]+", "", html.escape(text, quote=False))
