"""A leaf of the site: where it lies, and what its card on the index says and shows."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]  # of the checkout
HOME = '<nav class="small"><a href="../index.html">All pages</a></nav>'


@dataclass(frozen=True)
class Leaf:
    """A page of the site.

    Args:
        place: Its file, relative to the site, such as notebooks/10_autodiff.html.
        title: Its heading.
        words: A sentence on what it says.
        picture: The address of a picture, which may be its data (data:...).
        seen: What is to be seen there.
    """

    place: str
    title: str
    words: str
    picture: str
    seen: str
