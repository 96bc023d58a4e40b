"""Finds modules that read the weights of their layers themselves, by looking at their source.

    class Attention(nn.Module):                     a sparse layer in the place of `qkv` would be
        def forward(self, x):                       asked for a weight that it does not have:
            qkv = F.linear(x, self.qkv.weight)      so this `qkv` has to stay dense

A method that only looks at `self.fc.weight.dtype`, hands the weight to isinstance, or belongs to
the start of a model (its name has "init" or "reset" in it) does no harm.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from torch import nn

HARMLESS = ("dtype", "device", "requires_grad", "is_cuda", "ndim")
START = ("init", "reset")


def reader_of(name: str, parents: Sequence[nn.Module]) -> str:
    """Return the class that reads the weight of layer `name` itself; empty if none does.

    Args:
        name: Name of the layer, as named_modules() has it.
        parents: The modules that it lies in, from the model down.
    """
    parts = name.split(".")
    for depth, parent in enumerate(parents):
        if ".".join(parts[depth:]) in read_by(type(parent)):
            return type(parent).__name__
    return ""


@cache
def read_by(kind: type) -> frozenset[str]:
    """Return the names, such as "mlp.fc1", of layers whose weight a class's methods read."""
    found: set[str] = set()
    for base in kind.__mro__:
        if base in (nn.Module, nn.Sequential, nn.ModuleList, object):
            continue
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
        except (OSError, TypeError, SyntaxError):
            continue  # typed into a shell, or compiled: nothing to read
        for method in ast.walk(tree):
            if isinstance(method, ast.FunctionDef) and not any(w in method.name for w in START):
                found.update(_reads(method))
    return frozenset(found)


def _reads(method: ast.AST) -> Iterator[str]:
    """Yield the layers whose weight is read as a tensor somewhere in this method."""
    harmless = set()
    for node in ast.walk(method):
        if isinstance(node, ast.Attribute) and node.attr in HARMLESS:
            harmless.add(node.value)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "isinstance":
            harmless.update(node.args)
    for node in ast.walk(method):
        if not isinstance(node, ast.Attribute) or node.attr != "weight" or node in harmless:
            continue
        if isinstance(node.ctx, ast.Load) and (path := _path(node.value)):
            yield path


def _path(node: Any) -> str:
    """Return the "a.b" of `self.a.b`, or an empty text for anything else."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return ".".join(reversed(names)) if getattr(node, "id", "") == "self" else ""
