"""Slides of a chapter's core figures: one self-contained page, made of the cells tagged ``slide`` of its executed notebook.

Arrow keys, space bar or scrolling move from slide to slide; printing gives one slide a sheet.
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
footer { position: fixed; left: 1rem; bottom: 0.4rem; font-size: 0.8rem; color: #595959; }
@media print { footer { display: none; } section { min-height: 0; height: 98vh; } }
"""
SCRIPT = """
document.addEventListener("keydown", function (event) {
  if (event.target.closest(".asd, audio, input, select, button")) return;
  var by = { ArrowRight: 1, PageDown: 1, " ": 1, ArrowLeft: -1, PageUp: -1 }[event.key];
  if (!by) return;
  event.preventDefault();
  var slides = Array.from(document.querySelectorAll("section")), now = 0;
  slides.forEach(function (slide, i) { if (slide.getBoundingClientRect().top <= 2) now = i; });
  slides[Math.max(0, Math.min(slides.length - 1, now + by))].scrollIntoView();
});
"""


def slides(notebook: dict, book_title: str) -> str:
    """The page of slides of an executed ``notebook``."""
    text = "\n".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown")
    title = text.splitlines()[0].removeprefix("# ")
    goal = re.search(r"\*\*After this chapter you can\*\*(.*?)(?:\n\n|\*\*You need|$)", text, re.DOTALL)
    words = _plain(" ".join(goal[1].split())) if goal else ""
    aim = f"<p>After it you can {words}</p>" if words else ""
    sections = [f"<section>{MARK}<h1>{html.escape(title)}</h1>{aim}</section>"]
    heading = title
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            heading = (re.findall(r"^##+ (.*)$", "".join(cell["source"]), re.MULTILINE) or [heading])[-1]
        elif "slide" in cell["metadata"].get("tags", []):
            shown = [_content(output, cell) for output in cell["outputs"]]
            sections += [f"<section><h2>{_plain(heading)}</h2>{content}</section>" for content in shown if content]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}: slides</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>\n'
        f"<body><main>{''.join(sections)}</main><footer>{html.escape(book_title)}</footer><script>{SCRIPT}</script></body></html>\n"
    )


def _content(output: dict, cell: dict) -> str:
    data = output.get("data", {})
    about = cell["metadata"].get("mystnb", {})
    if "image/png" in data:
        caption, alt = about.get("figure", {}).get("caption", ""), about.get("image", {}).get("alt", "")
        picture = "".join(data["image/png"]).replace("\n", "")
        image = f'<img class="figure" alt="{html.escape(alt)}" src="data:image/png;base64,{picture}">'
        return f"{image}<p>{_plain(caption)}</p>"
    return "".join(data.get("text/html", ""))


def _plain(text: str) -> str:
    """MyST prose as plain words: links and roles reduced to what they say, emphasis, tags and dollar signs dropped."""
    text = re.sub(r"\{glue:text\}`[^`]*`", "…", text)
    text = re.sub(r" ?\{cite:\w+\}`[^`]*`| ?\[\]\(\w+\)", "", text)
    text = re.sub(r"\[([^\]]+)\]\([^)]*\)|\{\w+\}`([^`<]+)[^`]*`", lambda m: m[1] or m[2], text)
    text = re.sub(r"</?\w+[^>]*>", "", text)
    return re.sub(r"[*`$]+", "", html.escape(text, quote=False))
