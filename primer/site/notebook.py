"""A notebook as a page: by nbconvert, with formulas as MathML and in the style of the reports."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import nbformat

from harness.record import store
from harness.result import page
from primer.site import markup
from primer.site.leaf import HOME, Leaf

HERE = Path(__file__).parent
FORMS = ["image/svg+xml", "text/html", "text/markdown", "image/png", "text/plain"]  # the best first


def write(path: Path, site: Path, follow: Callable[[str], str]) -> Leaf:
    """Write the page of a notebook.

    Args:
        path: The notebook.
        site: The folder of the site.
        follow: Returns where its links lead.

    Raises:
        ValueError: no heading at its beginning, no picture, or one without a text.
    """
    book = nbformat.read(path, as_version=4)
    try:
        heading, words = _beginning(book)
        body, _ = _exporter().from_notebook_node(book)
        body = markup.repaired(body, follow)
        card = _card(body)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    place = f"notebooks/{path.stem}.html"
    store.write(site / place, page.page(heading, [HOME, body], refresh=False, style=style()))
    return Leaf(place, heading, words, *card)


def _card(body: str) -> tuple[str, str]:
    """Return the last picture that stands in the page itself, for the index."""
    found = [one for one in markup.pictures(body) if one[0].startswith("data:")]
    if not found:
        raise ValueError("no picture for the index: end a cell with Picture(fig) of primer.picture")
    return found[-1]


def _beginning(book: Any) -> tuple[str, str]:
    """Return the heading of a notebook, and the first sentence below it."""
    first = book.cells[0].source if book.cells else ""
    heading, _, rest = first.partition("\n")
    if not heading.startswith("# "):
        raise ValueError(f"a notebook begins with its title, '# ...', got {heading!r}")
    paragraph = rest.strip().partition("\n\n")[0].replace("\n", " ")
    return heading[2:].strip(), markup.plain(_markdown(paragraph))


@cache
def _exporter() -> Any:
    from nbconvert.exporters import HTMLExporter
    from traitlets.config import Config

    first = Config({"NbConvertBase": {"display_data_priority": FORMS}})
    template = (HERE / "notebook.html.j2").read_text("utf-8")
    made = HTMLExporter(config=first, raw_template=template)
    made.exclude_input_prompt = made.exclude_output_prompt = True
    made.register_filter("markdown2html", _markdown)
    return made


def _markdown(text: str) -> str:
    """Return Markdown as HTML, with its formulas as MathML, which browsers draw by themselves."""
    from latex2mathml.converter import convert
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    class Renderer(IPythonRenderer):
        def inline_math(self, body: str) -> str:
            return convert(body)

        def block_math(self, body: str) -> str:
            return convert(body, display="block")

    renderer = Renderer(escape=False, exclude_anchor_links=True)
    return str(MarkdownWithMath(renderer=renderer).render(text))


@cache
def style() -> str:
    """Return the style of notebooks: that of code, for light and dark, and of what they hold.

    These two stand out from the shade of code by 4.5 to 1 in all of their colours.
    """
    from pygments.formatters import HtmlFormatter

    light, dark = (
        HtmlFormatter(style=name).get_style_defs(".highlight") for name in ("xcode", "zenburn")
    )
    own = (HERE / "notebook.css").read_text("utf-8")
    return f"{light}\n@media(prefers-color-scheme:dark){{{dark}}}\n{own}"
