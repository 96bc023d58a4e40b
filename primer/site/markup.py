"""Repairs the HTML of a notebook, so that all can read it at any width.

Tables, code and pictures scroll in boxes that the keyboard reaches, a picture says what it shows,
links lead to what the site has, and styles and scripts that a library left are gone.
"""

import re
import struct
from base64 import b64decode
from collections.abc import Callable
from typing import Any

from bs4 import BeautifulSoup

SMALLEST = 0.6  # of its own width that a picture is shown at,
LETTERS = 9  # and pixels of its smallest letters, where it has so many
SHORT = 80  # letters, which say little of a page


def repaired(html: str, follow: Callable[[str], str]) -> str:
    """Return the HTML with all of it repaired.

    Args:
        html: The body of a page.
        follow: Returns where a link leads on the site; empty: nowhere, and only its words stay.

    Raises:
        ValueError: a picture that does not say what it shows.
    """
    soup = BeautifulSoup(html, "html.parser")
    for left in soup(["style", "script"]):
        left.decompose()
    for image in soup("img"):
        _tell(image)
        _box(soup, image, "picture")
    for table in soup("table"):
        _heads(soup, table)
        _box(soup, table, "table")
    for block in soup("pre"):
        _box(soup, block, "text")
    for formula in soup("math", display="block"):
        _box(soup, formula, "formula")
    for number, box in enumerate(soup("div", class_="scroll"), 1):
        box["aria-label"] += f" {number}"
    for link in soup("a", href=True):
        _lead(link, follow(str(link["href"])))
    return str(soup)


def _tell(image: Any) -> None:
    if not (image.get("alt") or "").strip():
        raise ValueError(
            "a picture has no text for those who do not see it: end the cell with "
            "Picture(fig) of primer.picture, or Picture(fig, 'what it shows, in a sentence')"
        )
    if width := _width(image.get("src", "")):
        image["style"] = f"min-width:{width}px"


def _width(source: str) -> int:
    """Return the pixels that a picture in the page is wide at least; 0: nobody says."""
    kind, _, data = source.partition(",")
    if kind == "data:image/png;base64":
        return round(SMALLEST * struct.unpack(">I", b64decode(data[:64])[16:20])[0])
    svg = b64decode(data) if "svg" in kind else b""
    points = re.search(rb'width="([\d.]+)pt"', svg)
    letters = map(float, re.findall(rb"font(?:-size)?:[^;\"]*?([\d.]+)px", svg))  # (in points)
    share = max(SMALLEST, LETTERS * 72 / 96 / min(letters, default=float("inf")))
    return round(min(share, 1) * float(points[1]) * 96 / 72) if points else 0


def _box(soup: Any, element: Any, label: str) -> None:
    """Put an element into a box that scrolls sideways."""
    box = soup.new_tag("div", tabindex="0", role="region")
    box["class"], box["aria-label"] = "scroll", label
    element.wrap(box)


def _heads(soup: Any, table: Any) -> None:
    """Say what the heads of a table are of; a head that is empty is none."""
    table.attrs.pop("border", None)
    for head in table("th"):
        if not head.get_text(strip=True):
            head.name = "td"
        else:
            head["scope"] = "col" if head.find_parent("thead") else "row"


def _lead(link: Any, target: str) -> None:
    if target:
        link["href"] = target
    else:
        link.unwrap()


def pictures(html: str) -> list[tuple[str, str]]:
    """Return the address and the text of each picture of a page."""
    images = BeautifulSoup(html, "html.parser")("img")
    return [(str(image["src"]), str(image["alt"])) for image in images]


def plain(html: str) -> str:
    """Return the first sentence of some HTML, without markup; a short one with the next."""
    text = " ".join(BeautifulSoup(html, "html.parser").get_text().split())
    found = re.match(rf".{{{SHORT},}}?[.?!](?= |$)", text)
    return found[0] if found else text
