"""Finds the units of a net: what is computed, and may be freed, one after the other.

They are the stages that a net names (`net.stages`), else its children; where there is only one,
that one's. In the place of what is never called (a ModuleList, say) stand its children. What
belongs to none of them, or to several, is the root's, which comes first, be it empty.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

from torch import nn

ROOT = ""  # the name of the module whose unit begins and ends with the net's own pass


def units(model: nn.Module) -> dict[str, list[str]]:
    """Return names of trainable parameters by the name of the module whose unit they are."""
    names = {id(p): k for k, p in model.named_parameters() if p.requires_grad}
    found = {name: list(module.parameters()) for name, module in _children(model).items()}
    shares = Counter(i for own in found.values() for i in {id(p) for p in own})
    of = {
        unit: [names[id(p)] for p in own if id(p) in names and shares[id(p)] == 1]
        for unit, own in found.items()
    }
    inside = {name for own in of.values() for name in own}
    rest = [name for name in names.values() if name not in inside]
    return {ROOT: rest} | {unit: own for unit, own in of.items() if own}


def _children(model: nn.Module) -> dict[str, nn.Module]:
    """Return the modules to divide the net by, with their names in it."""
    places = {id(m): k for k, m in model.named_modules()}
    stages = getattr(model, "stages", None)
    if isinstance(stages, nn.ModuleList | nn.Sequential | list | tuple):
        inner = [m for m in stages if isinstance(m, nn.Module) and id(m) in places]  # pyright: ignore
        if inner:
            return {places[id(m)]: m for m in _called(inner)}
    top = model
    while True:
        inner = list(_called(_parts(top)))
        within = {id(p) for m in inner for p in m.parameters()}
        own = any(id(p) not in within for p in top.parameters())
        if len(inner) != 1 or own:
            return {places[id(m)]: m for m in inner}
        top = inner[0]


def _parts(module: nn.Module) -> Iterable[nn.Module]:
    """Return the children of a module that has them called."""
    if isinstance(module, nn.MultiheadAttention):  # (it reads weights of its child)
        return ()
    return module.children()


def _called(modules: Iterable[nn.Module]) -> Iterator[nn.Module]:
    """Yield these modules, those without a forward replaced by what is in them."""
    for module in modules:
        if getattr(module.forward, "__func__", None) is nn.Module.forward:
            yield from _called(module.children())
        elif any(True for _ in module.parameters()):
            yield module
