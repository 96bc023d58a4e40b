"""The index of the site: a card with a picture and a sentence for each page."""

import re
from base64 import b64decode
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

from harness.record import store
from harness.result import page
from primer.site import notebook
from primer.site.leaf import Leaf

CARD = re.compile(r'<li>(?:(?!</li>).)*?<h3><a href="([^"]+)">.*?</li>', re.DOTALL)
WIDE = 640  # pixels of a picture on a card: sharp on a phone too
TITLE = "IDDL: notes, records and pages that compute"
WORDS = "The same network trained in many ways, and compared so that the answers can be believed."


def write(site: Path, sections: Mapping[str, Sequence[Leaf]], keep: bool = False) -> Path:
    """Write index.html: a heading for each section, and the cards of its pages.

    Args:
        site: The folder of the site.
        sections: The pages that were made, by heading.
        keep: Whether cards stay that an earlier index has, of pages that are still there.
    """
    path = site / "index.html"
    before = path.read_text("utf-8") if keep and path.exists() else ""
    body = [f"<h1>{TITLE}</h1>", f"<p>{WORDS}</p>"]
    for title, leaves in sections.items():
        cards = _kept(before, title, site)
        cards |= {leaf.place: _card(leaf, _picture(leaf, site)) for leaf in leaves}
        listed = "".join(cards[place] for place in (sorted(cards) if before else cards))
        body += [f"<h2>{title}</h2>", f'<ul class="cards">{listed}</ul>'] if cards else []
    return store.write(path, page.page(TITLE, body, style=notebook.style()))


def _kept(index: str, title: str, site: Path) -> dict[str, str]:
    """Return the cards of a section of an index, by the page that each leads to."""
    section = index.partition(f"<h2>{title}</h2>")[2].partition("</ul>")[0]
    found = ((card[1], card[0]) for card in CARD.finditer(section))
    return {place: card for place, card in found if (site / place).exists()}


def _card(leaf: Leaf, picture: str) -> str:
    image = f'<img src="{picture}" alt="{page.plain(leaf.seen)}" loading="lazy">'
    link = f'<h3><a href="{leaf.place}">{page.plain(leaf.title)}</a></h3>'
    return f'<li>{image}{link}<p class="small">{page.plain(leaf.words)}</p></li>'


def _picture(leaf: Leaf, site: Path) -> str:
    """Write the picture of a card as a file of its own; returns its place."""
    kind, _, data = leaf.picture.partition(",")
    content = b64decode(data)
    place = f"pictures/{Path(leaf.place).stem}"
    if kind.startswith("data:image/svg"):
        return store.write(site / f"{place}.svg", content).relative_to(site).as_posix()
    return store.write(site / f"{place}.png", _small(content)).relative_to(site).as_posix()


def _small(png: bytes) -> bytes:
    """Return a picture that is no wider than its card, in 64 colours."""
    from PIL import Image

    image = Image.open(BytesIO(png)).convert("RGB")
    image.thumbnail((WIDE, WIDE))
    small = BytesIO()
    image.quantize(64).save(small, "png", optimize=True)
    return small.getvalue()
