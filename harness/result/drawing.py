"""Makes a drawing of matplotlib fit for a page: half the bytes, and names of its own.

    <g id="axes_1"><g id="line2d_1"><path d="M 67.335917 182.434124 L ..." style="fill: none; ...
    <path d="M67.34 182.43L..." style="fill:none;...

Places keep two digits, a fiftieth of a pixel. What nobody refers to has no name, and a group that
says nothing is none. Names get a prefix, as two drawings on a page must not share any.
"""

import re
import xml.etree.ElementTree as tree

SVG, LINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
FONT = "'DejaVu Sans',Verdana,sans-serif"  # (of one width, so that all stands where it should)
FONTS = r"'DejaVu Sans', [^;]*"
PLACES = ("d", "x", "y", "width", "height", "points")
tree.register_namespace("", SVG)


def slim(svg: str, prefix: str = "") -> str:
    """Return the <svg> element with less in it that looks the same."""
    root = tree.fromstring(svg)
    for meta in root.findall(f"{{{SVG}}}metadata"):
        root.remove(meta)
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))
    for element in root.iter():
        _texts(element)
        _names(element, used, prefix)
        _shorten(element)
    _unwrap(root)
    root.set("style", f"font-family:{FONT}")
    return tree.tostring(root, encoding="unicode")


def _texts(element: tree.Element) -> None:
    """Drop the space between elements; that between words stays."""
    if not element.tag.endswith(("text", "tspan", "style")):
        element.text = None
    if not element.tag.endswith("tspan"):
        element.tail = None


def _names(element: tree.Element, used: set[str], prefix: str) -> None:
    """Give what others refer to the prefix, and references too; other names go."""
    name = element.attrib.pop("id", "")
    if name in used:
        element.set("id", prefix + name)
    if link := element.attrib.pop(f"{{{LINK}}}href", ""):
        element.set("href", f"#{prefix}{link[1:]}" if link[0] == "#" else link)
    for key, value in element.attrib.items():
        element.set(key, value.replace("url(#", f"url(#{prefix}"))


def _shorten(element: tree.Element) -> None:
    for key, value in list(element.attrib.items()):
        if key == "style":
            element.set(key, _style(value))
        elif key in PLACES:
            element.set(key, _numbers(value))
        elif key == "transform" and re.match(r"rotate\(-?0(\.0)? ", value):
            del element.attrib[key]


def _style(text: str) -> str:
    """Return a style without spaces, and without the fonts that the whole drawing shares."""
    text = re.sub(rf"font-family: {FONTS}(;|$)", "", text)
    text = re.sub(rf"(font: [^']*){FONTS}", rf"\1{FONT}", text)
    return re.sub(r"\s*([:;])\s+", r"\1", text).strip("; ")


def _numbers(text: str) -> str:
    """Return a path or a place with two digits after the point, and no space that says nothing.

    >>> _numbers("M 67.335917 182.40 L 1.0 2 ")
    'M67.34 182.4L1 2'
    """
    text = re.sub(r"\d+\.\d+", lambda found: f"{float(found[0]):.2f}".rstrip("0").rstrip("."), text)
    return re.sub(r"\s*([A-Zz])\s*", r"\1", re.sub(r"\s+", " ", text)).strip()


def _unwrap(parent: tree.Element) -> None:
    """Put what a group without attributes holds in the group's place."""
    found: list[tree.Element] = []
    for child in list(parent):
        _unwrap(child)
        found += list(child) if child.tag == f"{{{SVG}}}g" and not child.attrib else [child]
    parent[:] = found
