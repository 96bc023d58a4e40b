"""Keeps values with their connections: in checkpoints, on other devices, under averages.

state_dict()        weight, bias, _extra_state: SHA-256 and name of the pattern
load_state_dict()   another pattern's values are refused; where no pattern is named, a warning
forward             looks at each new kind of input once: shape, dtype, what was done to `weight`
"""

from typing import Any

import torch
from torch import nn

from bibd.advice import warn
from bibd.kernels import modes
from bibd.kernels.gpu import card
from bibd.kernels.native import KINDS, plain
from bibd.pattern import Pattern

MOST_ROUTES = 1000
NORMS = {  # of torch, which take the shape of the values for that of the weight
    "_WeightNorm": "weight_norm",
    "WeightNorm": "weight_norm",
    "_SpectralNorm": "spectral_norm",
    "SpectralNorm": "spectral_norm",
    "_Orthogonal": "orthogonal",
}


class Patterned(nn.Module):
    """A module whose values belong to `self.pattern`; its checkpoint says so.

    `flat` is the index table, a buffer beside `weight`.
    """

    pattern: Pattern
    flat: torch.Tensor
    weight: nn.Parameter
    bias: nn.Parameter | None
    _tile = 0  # see _side

    def _make_table(self) -> torch.Tensor:
        """Return the index table, on the CPU."""
        raise NotImplementedError

    def _register_table(self) -> None:
        """Make room for the index table, and put it there."""
        self.register_buffer("flat", None, persistent=False)
        # Loaders that go by names look for `_extra_state` among the buffers (accelerate's do), and
        # leave what they find in the file there; it stays empty otherwise.
        nothing = torch.empty(0, dtype=torch.uint8)
        self.register_buffer("_extra_state", nothing, persistent=False)
        self._fill()

    def _fill(self) -> None:
        """Put the index table beside the values."""
        with torch.inference_mode(False):
            self.flat = self._make_table().to(self.weight.device)
        self._tile = self._side()
        self._table = self.flat, self.flat._version
        self._routes: dict[tuple, str] = {}

    def _side(self) -> int:
        """Return the side of the dense tiles that the connections make up; 0 if they do not."""
        return 0

    def _tiled(self, path: str) -> int:
        """Return the tiles that a path of a card takes: 0 none, 1 some where there are none."""
        return (self._tile or 1) if path == "triton" else 0

    def _apply(self, fn, recurse=True):
        """Make the table anew where a module is moved, cast or emptied."""
        super()._apply(fn, recurse)
        self._fill()
        return self

    def _places(self) -> torch.Tensor:
        """Return the index table, made anew where somebody has written over it.

        (An average of models with use_buffers=True does, and values that come to a meta layer by
        assignment leave it behind. A table that a caller brings along, as torch.func does for a
        stack of layers, is taken as it is.)
        """
        if not torch.compiler.is_compiling() and self.flat is self._table[0] and self._is_stale():
            self._fill()
        return self.flat

    def _held(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return weight and bias, without nn.Module's slow lookup where it can be avoided."""
        held = self._parameters
        weight = held.get("weight")
        bias = held["bias"] if "bias" in held else self.bias  # noqa: SIM401 (it may be absent)
        return self.weight if weight is None else weight, bias

    def path(self, x: torch.Tensor) -> str:
        """Return how this input would be multiplied: one of the backends, but for "auto"."""
        raise NotImplementedError

    def _route(self, x: torch.Tensor) -> str:
        """Return path(x), remembered for calls of this kind.

        "traced" stands for native while something watches.
        """
        if not isinstance(x, torch.Tensor) or not modes.quiet():
            self._look(x)
            path = self.path(x)
            return "traced" if path == "native" else path
        grad = torch.is_grad_enabled()
        kind = x.shape, x.dtype, grad, torch.get_num_threads(), self.backend
        # (A parametrization changes the class, a norm of the older kind adds a hook.)
        kind = *kind, type(self), len(self._forward_pre_hooks)
        here, captured = x.is_cpu, False
        if card.on_card(x):  # (where autocast, TF32 and graphs change what is the fastest)
            here, captured = True, card.capturing()
            fast = modes.tf32(), modes.tf32_of_images()
            kind = *kind, modes.casting("cuda"), *fast, modes.is_replayed()
        brought = self._buffers["flat"] is not self._table[0]  # by a caller, as torch.func does
        own = not brought and here and x.layout is torch.strided and type(x) in KINDS
        found = self._routes.get(kind) if own else None
        if found is None:
            self._look(x)
            found = self.path(x)
            if found == "native" and (brought or not plain(x, *self._held())):
                return "traced"  # with that table; or for its operators to compute or refuse
            if found == "bag" and brought:
                return "dense"
            if own and not captured:  # (nothing could be measured for a graph)
                if len(self._routes) >= MOST_ROUTES:  # (sentences of every length)
                    self._routes.clear()
                self._routes[kind] = found
        return found

    def _look(self, x: Any) -> None:
        """Refuse an input that does not fit, values of another pattern, and norms of torch's.

        This runs once for each kind of input in plain eager mode, and always elsewhere.
        """
        if not isinstance(x, torch.Tensor) or modes.jit():
            return  # torch.fx follows with a stand-in; to torch.jit.trace sizes are tensors
        if not torch.compiler.is_compiling():
            self._look_inside()
        kind = self.weight.dtype
        if self._fits(x) and (x.dtype == kind or modes.autocast()):
            return
        wanted, got = f"shape {self._wants()}", f"{x.dtype} of shape {tuple(x.shape)}"
        if x.dtype == kind:
            fix = self._fix(x)
        else:
            fix = f"x.to({kind})" + f", or layer.to({x.dtype})" * x.is_floating_point()
        raise ValueError(f"{self._title()} takes {kind} input of {wanted}, got {got}: {fix}")

    def _look_inside(self) -> None:
        """Refuse what others have done to the values before this call."""
        brought = self._buffers.get("_extra_state")
        if brought is not None and brought.numel():
            errors: list[str] = []
            if refuses(self.pattern, {"_extra_state": brought}, "", errors):
                raise ValueError(errors[0])
            self._buffers["_extra_state"] = brought.new_empty(0)
        if norm := norm_of(self):
            raise ValueError(
                f"{self._title()}: torch's {norm} would take the values for a matrix of their own "
                f"shape {tuple(self.weight.shape)}, which they are not; bibd.weight_norm(layer) "
                "and bibd.spectral_norm(layer) mean the layer's matrix"
            )

    def _fits(self, x: torch.Tensor) -> bool:
        """Return whether an input has the shape that this module takes."""
        raise NotImplementedError

    def _wants(self) -> str:
        """Return the shape that this module takes, as it is written."""
        raise NotImplementedError

    def _fix(self, x: torch.Tensor) -> str:
        """Return what to do with an input of another shape."""
        raise NotImplementedError

    def _title(self) -> str:
        """Return class and sizes, by which a user finds this module among others."""
        raise NotImplementedError

    def _is_stale(self) -> bool:
        table, version = self._table
        if not isinstance(self.weight, torch.Tensor):
            return False  # torch.fx follows with a stand-in
        return table._version != version or table.device != self.weight.device

    def get_extra_state(self) -> torch.Tensor:
        """Return the pattern's SHA-256 and name as bytes in a tensor, which every format saves."""
        text = f"{self.pattern.digest()} {self.pattern}"
        return torch.tensor(list(text.encode()), dtype=torch.uint8, device="cpu")

    def set_extra_state(self, state: torch.Tensor) -> None:
        """Do nothing, as the check comes before any value is copied."""

    def _load_from_state_dict(self, state_dict, prefix, *rest):
        if not refuses(self.pattern, state_dict, prefix, rest[-1]):
            super()._load_from_state_dict(state_dict, prefix, *rest)


def refuses(pattern: Pattern, state: dict[str, Any], prefix: str, errors: list[str]) -> bool:
    """Return whether these values are of other connections, and say so in `errors`.

    Values without the name of a pattern are taken, with a warning.
    """
    saved = state.get(f"{prefix}_extra_state")
    if saved is None:
        _warn_of_nameless(pattern, state.get(f"{prefix}weight"), prefix, errors)
        return False  # (whether a key may be missing is for strict= to say)
    try:  # (as floats, if somebody has averaged two state dicts)
        text = bytes(torch.as_tensor(saved).double().round().to(torch.uint8).tolist()).decode()
        digest, name = text.partition("\n")[0].split(" ", 1)  # (a dynamic layer adds its table)
    except (ValueError, TypeError):
        errors.append(f"{prefix}_extra_state is damaged: it should name a pattern")
        return True
    mine = pattern.digest()
    if digest != mine:
        errors.append(
            f"{prefix}weight: these values belong to pattern {name} ({digest[:12]}), this layer "
            f"has {pattern} ({mine[:12]}): build it with that pattern (a model of sparsify: with "
            "the same seed=)"
        )
    return digest != mine


def _warn_of_nameless(pattern: Pattern, values: Any, prefix: str, errors: list[str]) -> None:
    if not isinstance(values, torch.Tensor):
        return
    if values.ndim > 1 and len(values) == pattern.out_features != pattern.nonzeros:
        errors.append(
            f"{prefix}weight looks like a dense weight {tuple(values.shape)}: load it into the "
            'dense model and take bibd.sparsify(model, ..., weights="keep"), or from_dense'
        )
        return
    warn(
        f"{prefix}weight comes without the name of its pattern ({prefix}_extra_state), so nothing "
        f"could check that its values belong to {pattern}: save all of state_dict()"
    )


def norm_of(module: nn.Module) -> str:
    """Return the name of torch's norm that was put on `weight`; empty if there is none."""
    lists = module._modules.get("parametrizations")
    put = [*getattr(lists, "_modules", {}).get("weight", ())] if lists is not None else []
    for norm in (*put, *module._forward_pre_hooks.values()):
        kind = type(norm)
        whole = getattr(norm, "dim", 0) == -1  # one norm for the matrix is that of its values
        if kind.__module__.startswith("torch.nn.utils") and kind.__name__ in NORMS and not whole:
            return NORMS[kind.__name__]
    return ""
