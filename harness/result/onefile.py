"""A page that is one HTML file: a template, and what takes the place of its {{marks}}.

What is read from the template's folder, by name: NAME.html, and below the style that all pages
share (onefile.css) its own NAME.css, and its programs.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

STYLE = Path(__file__).with_suffix(".css")
MARK = re.compile(r"{{(\w+)}}")


def filled(template: Path, programs: Sequence[str], texts: Mapping[str, str]) -> str:
    """Return a page.

    Args:
        template: NAME.html, beside NAME.css.
        programs: The files in JavaScript beside it, in their order, without the ending.
        texts: What stands at the other marks.
    """
    whole = {
        "css": STYLE.read_text("utf-8") + template.with_suffix(".css").read_text("utf-8"),
        "js": "".join(template.with_name(f"{n}.js").read_text("utf-8") for n in programs),
        **texts,
    }
    return MARK.sub(lambda found: whole[found[1]], template.read_text("utf-8"))


def data(value: Any) -> str:
    """Return JSON that may stand in a script of a page: no text in it ends that."""
    return json.dumps(value).replace("<", "\\u003c")
