"""What a weight policy of one's own may define: answers that somebody asks for, and nothing else.

A name that nobody asks for would leave the answer of the class above it in force, and the pipeline
would train with weights that its author did not mean:

    class Yours(Policy):
        def bakward(self, weights, t): ...     refused: did you mean 'backward'?
        swap = False                           refused: did you mean 'swaps'?
        drift: float = 0.1                     an option, as it has a type
        def _mean(self, weights): ...          a helper
"""

import contextlib
import difflib
import functools
import inspect
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Any
from unittest.mock import patch

from harness.names import unknown

NEAR = 0.75  # how alike an option and an answer are, where the answer was meant


def check_answers(cls: type, base: type) -> None:
    """Refuse a class whose names nobody asks for.

    Args:
        cls: A policy of somebody's.
        base: The base of all policies.

    Raises:
        ValueError: names what was meant.
    """
    own = [kind for kind in cls.__mro__ if kind is cls or not issubclass(kind, base)]
    known: dict[str, Any] = {}
    for kind in reversed([k for k in cls.__mro__ if k not in own]):
        known |= {n: v for n, v in vars(kind).items() if not n.startswith("_")}
    for kind in own:
        types = inspect.get_annotations(kind)
        for name in {**vars(kind), **types} if kind is not object else ():
            if not name.startswith("_"):
                _check(f"{cls.__name__}.{name}", vars(kind).get(name), known, name in types)
    _used(cls, any("backward" in vars(kind) for kind in own))


def _used(cls: Any, backward: bool) -> None:
    """What the backward pass sees is said where it sees something of its own."""
    if backward and (cls.swaps is False or cls.recompute is True):
        why = "swaps = False, so the backward pass sees what the forward pass saw"
        if cls.recompute is True:
            why = "recompute = True, so the backward pass sees the newest weights"
        raise ValueError(
            f"{cls.__name__}.backward: nobody asks for this, as {why}: leave it out, or set "
            "swaps = True and recompute = False"
        )


def _check(full: str, value: Any, known: dict[str, Any], typed: bool) -> None:
    owner, name = full.split(".")
    method = callable(value) or isinstance(value, staticmethod | classmethod | property)
    if name in known:
        _same_kind(full, value, known[name])
    elif not typed or difflib.get_close_matches(name, known, 1, NEAR):
        rest = f"; a helper is named _{name}" if method else f"; an option is {name}: type = ..."
        what = "method" if method else "attribute"
        error = unknown(f"{what} of a weight policy", name, known)
        raise ValueError(f"class {owner}: nobody asks for this: {error}{rest}")


def _same_kind(full: str, value: Any, before: Any) -> None:
    """A method stays one; what is a value stays one, or a property."""
    if inspect.isfunction(before) and not inspect.isfunction(value):
        raise ValueError(f"{full} is a method, def {full.split('.')[1]}(...), got {value!r}")
    if inspect.isfunction(value) and not inspect.isfunction(before):
        raise ValueError(f"{full} is a value, such as {before!r}, or a property, and no method")


def check_weights(policy: Any, t: int, got: Any, params: Collection[str]) -> dict[str, Any]:
    """What a backward pass shall see; refuse what is no weights.

    Args:
        policy: Whose `backward` gave it.
        t: Of which minibatch.
        got: What it gave.
        params: Names of the stage's weights.
    """
    name = f"{type(policy).__name__}.backward"
    if got is None:
        raise ValueError(
            f"{name} gives None for minibatch {t}, so the backward pass is to see what the forward "
            "pass saw, and with swaps = True nobody keeps that: set swaps = False, or return "
            "weights, such as weights.newest"
        )
    weights = isinstance(got, Mapping)
    missing = [key for key in params if key not in got] if weights else []
    if missing or not weights:
        what = f"no {', '.join(missing)}" if weights else repr(got)
        raise ValueError(
            f"{name} gives {what} for minibatch {t}: return tensors by the names of the stage's "
            f"weights, such as weights.newest, which has {', '.join(params)}"
        )
    return got  # pyright: ignore[reportReturnType]


def own_answers(kind: type, known: tuple[type, ...]) -> dict[str, type]:
    """The methods that a policy defines outside of the known classes, and where."""
    found: dict[str, type] = {}
    for cls in reversed([k for k in kind.__mro__ if k not in (*known, object)]):
        public = (n for n, v in vars(cls).items() if inspect.isfunction(v) and n[0] != "_")
        found |= dict.fromkeys(public, cls)
    return found


@contextlib.contextmanager
def asked(answers: dict[str, type]) -> Iterator[Counter[str]]:
    """Count how often each of these methods is called, within."""
    counts: Counter[str] = Counter()

    def counted(name: str, method: Any) -> Any:
        @functools.wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            counts[name] += 1
            return method(*args, **kwargs)

        return call

    with contextlib.ExitStack() as stack:
        for name, cls in answers.items():
            stack.enter_context(patch.object(cls, name, counted(name, vars(cls)[name])))
        yield counts
