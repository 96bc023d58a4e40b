"""Builds the report page: one HTML file that needs nothing else, on a phone and by ear too.

Tables and figures scroll in a box of their own, so that the page itself never does sideways; a
figure is a picture with a sentence; the colours follow what the reader's system asks for.
"""

import html
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

CSS = """
:root{color-scheme:light dark;--ink:#222;--soft:#555;--paper:#fff;--shade:#f3f3f3;--bad:#a00;
--link:#005a9c}
@media(prefers-color-scheme:dark){:root{--ink:#e4e4e4;--soft:#aaa;--paper:#16181a;--shade:#24272a;
--bad:#ff8a80;--link:#7cc4ff}}
body{font:16px/1.5 system-ui,sans-serif;max-width:1000px;margin:2rem auto;padding:0 1rem;
color:var(--ink);background:var(--paper);overflow-wrap:break-word}
h1{font-size:1.5rem;margin-bottom:.2rem}h2{font-size:1.15rem;margin-top:2rem}a{color:var(--link)}
table{border-collapse:collapse;font-size:.9rem}
th,td{padding:.25rem .7rem;text-align:right;vertical-align:top;white-space:nowrap}
tbody th{font-weight:normal;position:sticky;left:0;background:var(--paper)}
th:first-child,.words{text-align:left}thead th{border-bottom:2px solid}
tr:nth-child(even)>*{background:var(--shade)}.scroll{overflow-x:auto}
code,pre{background:var(--shade);padding:.1rem .3rem;white-space:pre-wrap;overflow-wrap:anywhere}
@media(max-width:600px){body{margin:1rem auto}th,td{padding:.2rem .35rem}}
figure{margin:2rem 0}figure svg{display:block;max-width:100%;height:auto}
@media(prefers-color-scheme:dark){figure svg{filter:invert(.91) hue-rotate(180deg)}}
.room{min-height:6em}
.fail{color:var(--bad)}.small,figcaption{font-size:.85rem;color:var(--soft)}
"""


def page(title: str, body: Sequence[str], refresh: bool = False, style: str = "") -> str:
    """Return the whole HTML file; one with `refresh` loads itself again every few seconds."""
    again = '<meta http-equiv="refresh" content="5">' if refresh else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">{again}'
        f"<title>{plain(title)}</title><style>{CSS}{style}</style></head>"
        f"<body><main>{''.join(body)}</main></body></html>\n"
    )


def plain(text: object) -> str:
    """Return the text with the characters escaped that HTML would read as markup."""
    return html.escape(str(text))


def prose(text: str) -> str:
    """Return one of our own texts as HTML, with what stands between backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", plain(text))


def table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], label: str, words: Sequence[int] = ()
) -> str:
    """Return an HTML table in a box of its own; `words` are the columns that hold no numbers."""
    side = dict.fromkeys(words, ' class="words"')
    head = "".join(f'<th scope="col"{side.get(i, "")}>{plain(h)}</th>' for i, h in enumerate(heads))
    body = "".join(f"<tr>{_row(row, side)}</tr>" for row in rows)
    whole = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return _scroll(whole, label)


def _row(row: Sequence[str], side: dict[int, str]) -> str:
    first, *rest = row
    cells = (f"<td{side.get(i, '')}>{plain(cell)}</td>" for i, cell in enumerate(rest, 1))
    return f'<th scope="row">{plain(first)}</th>' + "".join(cells)


def _scroll(content: str, label: str) -> str:
    """Return a box that scrolls sideways and that the keyboard reaches, so that all can read it."""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{plain(label)}">'
        f"{content}</div>"
    )


def download(name: str, kind: str, text: str) -> str:
    """Return a link to a file that is embedded in the page itself."""
    shown = plain(name)
    return f'<a download="{shown}" href="data:{kind};charset=utf-8,{quote(text)}">{shown}</a>'


def fold(title: str, content: str, opened: bool = False) -> str:
    """Return what is shown when somebody asks for it."""
    head = f"<summary>{plain(title)}</summary>"
    return f"<details{' open' if opened else ''}>{head}{content}</details>"


def picture(fig: Any, number: int, words: str = "") -> str:
    """Return a matplotlib figure as an SVG picture, with a sentence below on what it shows."""
    from harness.result import drawing, figure

    words = words or figure.sentence(fig)
    width = round(96 * fig.get_figwidth())
    least = f"min-width:{round(0.8 * width)}px"  # smaller than that its letters are no letters
    drawn = drawing.slim(figure.svg(fig), f"f{number}-")
    drawn = drawn.replace('style="', f'style="{least};', 1)  # (the first is its own: its font)
    drawn = drawn.replace("<svg", f'<svg role="img" aria-label="{plain(words)}"', 1)
    return (
        f"<figure>{_scroll(drawn, f'figure {number}')}"
        f"<figcaption>Figure {number}. {plain(words)}</figcaption></figure>"
    )
