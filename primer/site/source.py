"""A file of the checkout that a notebook refers to, as a page with its code in colours."""

from pathlib import Path

from harness.record import store
from harness.result import page
from primer.site import notebook
from primer.site.leaf import HOME, ROOT


def write(path: Path, site: Path) -> str:
    """Write the page of a Python file; returns its place on the site."""
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    name = path.relative_to(ROOT).as_posix()
    code = highlight(path.read_text("utf-8"), PythonLexer(), HtmlFormatter())
    box = f'<div class="scroll" tabindex="0" role="region" aria-label="code">{code}</div>'
    place = f"source/{name}.html"
    home = HOME.replace("../", "../" * (len(Path(place).parts) - 1))
    body = [home, f"<h1>{page.plain(name)}</h1>", box]
    store.write(site / place, page.page(name, body, style=notebook.style()))
    return place
