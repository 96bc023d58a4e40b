"""A wrapper called in torch's order is told its own: the style, and the model as a keyword."""

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec

from harness.names import kind_of

P = ParamSpec("P")


def by_name(init: Callable[P, None]) -> Callable[P, None]:
    """Let an __init__(self, style, *, model) say in words what Python would say of its places."""
    usual = inspect.signature(init).parameters["style"].default

    @functools.wraps(init)
    def checked(*args: P.args, **words: P.kwargs) -> None:
        me, *places = args
        if len(places) > 1 or (places and "style" in words):
            came = ", ".join(kind_of(one) for one in places)
            raise ValueError(
                f"{type(me).__name__}(style={usual!r}, model=net): the style comes first and the "
                f"model is a keyword, got {came} without a name"
            )
        init(*args, **words)

    return checked
