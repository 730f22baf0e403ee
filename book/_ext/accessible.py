"""Sphinx extension: what the theme and docutils leave undone for readers who do not see the page.

``templates/`` beside this file holds pieces of the theme's pages in the place of its own.
"""

import re
from pathlib import Path

# Withdrawn from ARIA, and a list that may not hold the links in it. What stands there is read as well without them.
WRONG_ROLES = re.compile(r'(<div(?=[^>]* class="citation)[^>]*?) role="(?:doc-biblioentry|list)"')
NAMED = '<summary aria-label="the pages below">'


def drop_wrong_roles(app, pagename, templatename, context, doctree):
    if "body" in context:
        context["body"] = WRONG_ROLES.sub(r"\1", context["body"])


def name_toggles(app, pagename, templatename, context, doctree):
    """What unfolds the pages below another in the sidebar is an arrow; for who hears the page, it is called by what it does."""
    if made := context.get("generate_toctree_html"):
        context["generate_toctree_html"] = lambda *how, **more: str(made(*how, **more)).replace("<summary>", NAMED)


def use_templates(app, config):
    config.templates_path.append(str(Path(__file__).with_name("templates")))


def setup(app):
    app.connect("config-inited", use_templates)
    app.connect("html-page-context", drop_wrong_roles)
    app.connect("html-page-context", name_toggles, priority=900)  # when the theme has made what makes the sidebar
    return {"parallel_read_safe": True, "parallel_write_safe": True}
