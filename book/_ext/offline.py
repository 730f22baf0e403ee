"""Sphinx extension: all that a page loads lies beside it, so the book works offline.

MathJax is taken out of an installed package instead of a content delivery network.
Thebe (live code on a remote server) is dropped from the pages: its scripts come with the
theme, whether it is used or not.

What a reader has read and answered stays in the browser, too: ``progress.js`` keeps it there.
"""

import json
from html import escape
from importlib import resources
from importlib.metadata import files, version
from pathlib import Path
from shutil import copy2

MATHJAX = "static/mathjax/tex-svg.js"
FONTS = {"Serif": ("Regular", "It", "Bold"), "Sans": ("Regular", "It", "Semibold")}


def copy_mathjax(app):
    if app.builder.format != "html":
        return
    source = next(file.locate() for file in files("sphinx-mathjax-offline") if str(file).endswith(MATHJAX))
    target = Path(app.outdir) / "_static" / app.config.mathjax_path
    target.parent.mkdir(parents=True, exist_ok=True)
    copy2(source, target)


def progress(app, pagename, templatename, context, doctree):
    """``progress.js`` on the page, and what it has to know: whose progress it keeps, where it is, and which chapters there are.

    Not in the one-page form, which is for paper.
    """
    if app.builder.name != "html":
        return
    pages = app.env.toctree_includes.get(app.config.root_doc, [])
    chapters = [page for page in pages if str(app.env.doc2path(page)).endswith(".ipynb")]
    about = {
        "edition": app.config.asd_edition,
        "version": version("asdlib"),
        "page": pagename,
        "title": app.env.titles[pagename].astext() if pagename in app.env.titles else "",
        "chapters": {page: app.env.titles[page].astext() for page in chapters},
    }
    inlined = json.dumps(about).replace("<", "\\u003c")  # no title ends the script
    app.add_js_file(None, body=f"var asdBook = {inlined};")
    app.add_js_file("progress.js")


def style(app):
    """The look of the pages, and the type that it names, with its licences."""
    if app.builder.format != "html":
        return
    static = Path(app.outdir) / "_static"
    (static / "fonts").mkdir(parents=True, exist_ok=True)
    for name in ("book.css", "progress.js"):
        copy2(Path(__file__).with_name(name), static / name)
    copy2(Path(__file__).parents[1] / "mark" / "card.png", static / "card.png")
    for family, styles in FONTS.items():
        folder = resources.files(f"font_source_{family.lower()}_pro") / "files"
        for cut in styles:
            copy2(folder / f"Source{family}Pro-{cut}.ttf", static / "fonts")
        copy2(folder / "LICENSE.txt", static / "fonts" / f"Source{family}Pro-LICENSE.txt")


def drop_thebe(app, pagename, templatename, context, doctree):
    for kind in ("script_files", "css_files"):
        kept = [asset for asset in context.get(kind, []) if "thebe" not in _everything_about(asset)]
        if kind in context:
            context[kind][:] = kept


def say_what_it_is(app, pagename, templatename, context, doctree):
    """What a link to a page looks like where it is posted: the page's title beside the book's card."""
    card = "_static/card.png"
    place = (
        f"{app.config.html_baseurl.rstrip('/')}/{card}" if app.config.html_baseurl else context["pathto"](card, resource=True)
    )
    facts = {"og:type": "book", "og:site_name": app.config.project, "og:title": context.get("title", ""), "og:image": place}
    tags = "".join(f'\n<meta property="{name}" content="{escape(str(text))}">' for name, text in facts.items())
    context["metatags"] = context.get("metatags", "") + tags + '\n<meta name="twitter:card" content="summary_large_image">'


def _everything_about(asset) -> str:
    """File name and inline text of a script or style sheet, as Sphinx holds them."""
    inline = getattr(asset, "attributes", {}).get("body", "")
    return f"{getattr(asset, 'filename', asset)} {inline}"


def one_page_too(app):
    """What extensions registered for many pages is right for the one-page form as well, from which the PDF is printed."""
    handlers = app.registry.translation_handlers
    for node, handler in handlers.get("html", {}).items():
        handlers.setdefault("singlehtml", {}).setdefault(node, handler)


def setup(app):
    app.connect("builder-inited", copy_mathjax)
    app.connect("builder-inited", one_page_too)
    app.connect("builder-inited", style)
    app.add_css_file("book.css")
    app.add_config_value("asd_edition", "reader", "html")
    app.connect("html-page-context", progress)
    app.connect("html-page-context", drop_thebe, priority=900)
    app.connect("html-page-context", say_what_it_is)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
