"""Draw the book's mark, its logo on light and on dark ground, its favicon and its social card: ``python book/mark/draw.py``.

The mark is a row of sounds, one of which is out of line. Letters are drawn as outlines of Source Sans, so that the files look
alike wherever they are shown. The card is a picture, because that is what is asked for; it takes a Chromium.
"""

import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

from fontTools.pens.svgPathPen import SVGPathPen
from fontTools.ttLib import TTFont

HERE = Path(__file__).parent
NAME, ABOUT = (
    "Odd Sound Out",
    "Anomalous sound detection, to hear, see and do",
)
BARS = (
    (4, 18),
    (16, 34),
    (28, 50),
    (40, 34),
    (52, 18),
)  # left edge and height in a square of 64
ODD, SHIFT = 3, -11  # the one that is out of line, and by how much
LIGHT = {"bar": "#0068a3", "odd": "#d55e00", "ink": "#1c2733"}
DARK = {"bar": "#59b4e8", "odd": "#ff9248", "ink": "#e4e9ef"}


def mark(colours: dict[str, str]) -> str:
    """The five bars, in a square of 64."""
    return "".join(
        f'<rect x="{x}" y="{32 - height / 2 + SHIFT * (i == ODD):g}" width="8" height="{height}" rx="4"'
        f' fill="{colours["odd" if i == ODD else "bar"]}"/>'
        for i, (x, height) in enumerate(BARS)
    )


def words(
    text: str, weight: str, size: float, x: float, y: float, colour: str
) -> tuple[str, float]:
    """Outlines of ``text`` from ``x`` on, its foot at ``y``; and where it ends."""
    font = TTFont(
        files("font_source_sans_pro")
        / "files"
        / f"SourceSansPro-{weight}.ttf"
    )
    glyphs, names, scale = (
        font.getGlyphSet(),
        font.getBestCmap(),
        size / font["head"].unitsPerEm,
    )
    drawn = []
    for letter in text:
        glyph, pen = (
            glyphs[names[ord(letter)]],
            SVGPathPen(glyphs, ntos=lambda value: f"{value:g}"),
        )
        glyph.draw(pen)
        drawn.append(
            f'<path transform="translate({x:.2f} {y:g}) scale({scale:.4f} {-scale:.4f})" d="{pen.getCommands()}"/>'
        )
        x += glyph.width * scale
    return f'<g fill="{colour}">{"".join(drawn)}</g>', x


def svg(content: str, width: float, height: float, title: str = NAME) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
    return f'{head} role="img" aria-label="{title}"><title>{title}</title>{content}</svg>\n'


def logo(colours: dict[str, str]) -> str:
    name, end = words(NAME, "Semibold", 40, 78, 46, colours["ink"])
    return svg(mark(colours) + name, end + 4, 64)


def card() -> str:
    """1200 by 630, as social sites want it."""
    name, _ = words(NAME, "Semibold", 112, 80, 420, DARK["ink"])
    about, _ = words(ABOUT, "Regular", 48, 84, 500, "#a3b0bd")
    ground = '<rect width="1200" height="630" fill="#12171d"/>'
    return svg(
        f'{ground}<g transform="translate(68 90) scale(3.2)">{mark(DARK)}</g>{name}{about}',
        1200,
        630,
    )


def main() -> None:
    (HERE / "favicon.svg").write_text(svg(mark(LIGHT), 64, 64))
    (HERE / "logo-light.svg").write_text(logo(LIGHT))
    (HERE / "logo-dark.svg").write_text(logo(DARK))
    page = HERE / "card.svg"
    page.write_text(card())
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--window-size=1200,630",
    ]
    subprocess.run(
        [
            shutil.which("chromium"),
            *options,
            f"--screenshot={HERE / 'card.png'}",
            page.as_uri(),
        ],
        check=True,
    )
    page.unlink()


if __name__ == "__main__":
    main()
