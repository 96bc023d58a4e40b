"""A page that is one HTML file: a template, and what takes the place of its {{marks}}.

What is read from the template's folder, by name: NAME.html, and below the style that all pages
share (onefile.css) its own NAME.css, and its programs. All pages share a head (onefile.html), which
allows them to ask nobody; the first heading of a page is its title.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HEAD, STYLE = (Path(__file__).with_suffix(end) for end in (".html", ".css"))
HEADING = re.compile(r"<h1>(.*?)</h1>")
MARK = re.compile(r"{{(\w+)}}")


def filled(
    template: Path, programs: Sequence[str], texts: Mapping[str, str], allowed: str = ""
) -> str:
    """Return a page.

    Args:
        template: NAME.html, beside NAME.css.
        programs: The files in JavaScript beside it, in their order, without the ending.
        texts: What stands at the other marks.
        allowed: Where programs may come from beside the page itself, as its policy has it.
    """
    page = template.read_text("utf-8")
    heading = HEADING.search(page)
    assert heading, f"{template.name} has no heading"
    style = STYLE.read_text("utf-8") + template.with_suffix(".css").read_text("utf-8")
    marks = {"title": heading[1], "css": style, "allowed": allowed and f" {allowed}"}
    whole = {
        "head": MARK.sub(lambda found: marks[found[1]], HEAD.read_text("utf-8")),
        "js": "".join(template.with_name(f"{n}.js").read_text("utf-8") for n in programs),
        **texts,
    }
    return MARK.sub(lambda found: whole[found[1]], page)


def data(value: Any) -> str:
    """Return JSON that may stand in a script of a page: no text in it ends that.

    Raises:
        ValueError: NaN or an infinity, which JSON has no word for.
    """
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c")
