"""A picture with a text for those who do not see it, and times that are worth a point in one.

>>> Picture(fig, "multiply-adds over n / m: columns win below 0.5")     # last line of a cell
>>> Picture(fig)                                  # the text: its panels, lines and headline
"""

import io
import time
from base64 import b64encode
from collections.abc import Callable
from html import escape
from typing import Any

from matplotlib.figure import Figure

from harness.result import drawing, figure


class Picture:
    """What a notebook shows: a PNG whose alternative text stands in the file and on the page.

    Where the same drawing as SVG is shorter it is in the file too; `make site` takes that.
    """

    def __init__(self, fig: Figure, text: str = "", dpi: int = 100):
        """Draw it once; without a text it is told by its own words.

        Raises:
            ValueError: a text that does not say what is to be seen.
        """
        text = text or figure.sentence(fig)
        if len(text.split()) < 8:
            raise ValueError(f"say in a sentence what the picture shows, got {text!r}")
        file = io.BytesIO()
        figure.settle(fig)
        fig.savefig(file, dpi=dpi, metadata={"Software": None})
        self.png, self.text = file.getvalue(), " ".join(text.split())
        self.svg = drawing.slim(figure.svg(fig))

    def _repr_html_(self) -> str:
        # (pages that nbconvert makes have no alternative text of an output that is a mere PNG)
        source = f"data:image/png;base64,{b64encode(self.png).decode()}"
        return f'<img src="{source}" alt="{escape(self.text)}" style="max-width: 100%">'

    def _repr_svg_(self) -> str | None:
        return self.svg if len(self.svg) < len(self.png) else None

    def __repr__(self) -> str:
        return self.text


def best(f: Callable[[], Any], seconds: float = 0.05) -> float:
    """Return the least time of a call, of as many as fit; others on the machine only add to it."""
    least, end = float("inf"), time.perf_counter() + seconds
    while True:
        start = time.perf_counter()
        f()
        now = time.perf_counter()
        least = min(least, now - start)
        if now > end:
            return least
