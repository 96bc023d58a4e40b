"""Holds the models of the workers that live here, and shows everything of them as rows.

    get("params")              {name: (workers here, ...)}        put: the inverse
    get("gradients"), get("float_buffers"), get("optimizer_state")

Names are those of one model. Stacked holds all workers as one tensor program (harness.stack), for
what stacks exactly; Looped holds modules one by one: one worker of a process, convolutions, parts
on several devices.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from harness.nets.dropout import KeyedDropout, set_key
from harness.stack import Loop, Vmapped, stack

Rows = dict[str, torch.Tensor]


def replicas(models: Sequence[nn.Module]) -> "Stacked | Looped":
    """Return the faster of the two that can hold these models.

    There is one model per worker, and values are copied.
    """
    if len(models) == 1 or len({_sizes(m) for m in models}) > 1 or _hooked(models[0]):
        return Looped(models)
    net = stack(models)
    if any(isinstance(m, Loop) or _unreachable(m) for m in net.modules()):
        return Looped(models)
    params = _pair(list(net.parameters()), [dict(m.named_parameters()) for m in models])
    floats = [b for b in net.buffers() if b.is_floating_point()]
    buffers = _pair(floats, [float_buffers(m) for m in models])
    rest = [b for b in net.buffers() if not b.is_floating_point()]
    counters = _pair(rest, [_counters(m) for m in models])
    if params is None or buffers is None or counters is None:
        return Looped(models)
    return Stacked(net, models[0], params, buffers, counters)


def filled(members: "Stacked | Looped", everywhere: bool) -> tuple[Rows, set[str]]:
    """Return gradients, zero where there was none, and the names that all workers here had."""
    reached = set(members.get("gradients"))
    members.fill_gradients(everywhere)
    return members.get("gradients"), reached


def _hooked(model: nn.Module) -> bool:
    """Return whether somebody listens to its layers, who would not hear those of a stack."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return any(getattr(m, kind) for m in model.modules() for kind in kinds)


def _counters(model: nn.Module) -> dict[str, torch.Tensor]:
    return {k: b for k, b in model.named_buffers() if not b.is_floating_point()}


def kept_buffers(model: nn.Module) -> set[str]:
    """Return the names of the buffers that a checkpoint holds; others are made from what it has."""
    return {
        f"{where}.{name}".lstrip(".")
        for where, module in model.named_modules()
        for name in module._buffers
        if name not in module._non_persistent_buffers_set
    }


def _unreachable(module: nn.Module) -> bool:
    """Return whether it hides masks that need a key per worker."""
    hidden = module.template.modules() if isinstance(module, Vmapped) else ()
    return any(isinstance(m, KeyedDropout) for m in hidden)


def _sizes(model: nn.Module) -> tuple:
    kinds = tuple(type(m) for m in model.modules())
    return kinds, tuple((k, v.shape) for k, v in model.state_dict().items())


def float_buffers(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the running statistics of a model, without counters."""
    return {k: b for k, b in model.named_buffers() if b.is_floating_point()}


def _pair(stacked: list, alone: list[dict[str, torch.Tensor]]) -> dict[str, Any] | None:
    """Name the stacked tensors as one model does, or return None if row i is not model i's."""
    if len(stacked) != len(alone[0]):
        return None
    for tensor, *mine in zip(stacked, *(model.values() for model in alone), strict=True):
        if tensor.numel() != len(alone) * mine[0].numel() or tensor.dtype != mine[0].dtype:
            return None
        rows = tensor.reshape(len(alone), *mine[0].shape)  # (biases may have one more axis)
        if not all(torch.equal(rows[i], own) for i, own in enumerate(mine)):
            return None
    return dict(zip(alone[0], stacked, strict=True))


class Stacked:
    """Holds all workers in one module with a leading axis."""

    def __init__(self, net: nn.Module, template: nn.Module, params: dict, buffers: dict, counts):
        self.net, self.template = net, copy.deepcopy(template)
        self.params, self.buffers, self.counts = params, buffers, counts
        for name, p in template.named_parameters():
            params[name].requires_grad_(p.requires_grad)  # what is frozen stays frozen
        self.size = len(next(iter(params.values())))
        alone = dict(template.named_parameters()) | dict(template.named_buffers())
        self.shapes = {k: (self.size, *alone[k].shape) for k in (*params, *buffers, *counts)}

    def leaves(self) -> list[nn.Parameter]:
        """Return the parameters that an optimizer steps."""
        return list(self.params.values())

    def leaves_of(self, name: str) -> list[nn.Parameter]:
        """Return the parameters that hold one parameter of the workers."""
        return [self.params[name]]

    def counters(self) -> Rows:
        """Return the counters of worker 0, of those that a checkpoint holds."""
        kept = kept_buffers(self.template)
        return {k: b.view(self.shapes[k])[0].clone() for k, b in self.counts.items() if k in kept}

    def forward(self, xs: Any, ranks: Sequence[int]) -> Any:
        """Return each worker's output for its own inputs; without inputs there is no call."""
        if isinstance(xs, torch.Tensor):
            return self.net(xs)
        if all(len(x) == len(xs[0]) for x in xs):
            return self.net(torch.stack(list(xs)))
        return [self._alone(i, x, ranks[i]) if len(x) else x for i, x in enumerate(xs)]

    def _alone(self, i: int, x: torch.Tensor, rank: int) -> torch.Tensor:
        self.template.train(self.net.training)
        set_key(self.template, workers=[rank])
        held = self.params | self.buffers | self.counts
        rows = {k: p.view(self.shapes[k])[i] for k, p in held.items()}
        return torch.func.functional_call(self.template, rows, (x,))

    def modules(self) -> list[nn.Module]:
        """Return the modules whose mode and keys are to be set."""
        return [self.net, self.template]

    def get(self, what: str, optimizer: Any = None) -> Rows:
        """Return live tensors as rows."""
        if what == "params":
            return self._rows({k: p.detach() for k, p in self.params.items()})
        if what == "gradients":
            grads = {k: p.grad for k, p in self.params.items()}
            return self._rows({k: g for k, g in grads.items() if g is not None})
        if what == "float_buffers":
            return self._rows(self.buffers)
        return {
            f"{k}/{key}": value.view(self.shapes[k])
            for k, p in self.params.items()
            for key, value in optimizer.state.get(p, {}).items()
            if _follows(key, value, p)
        }

    def fill_gradients(self, everywhere: bool) -> None:
        """Put zeros where there is no gradient, if asked.

        (One tensor holds all workers, so that none has a gradient alone.)
        """
        for p in self.params.values() if everywhere else ():
            if p.grad is None and p.requires_grad:
                p.grad = torch.zeros_like(p)

    def _rows(self, tensors: Rows) -> Rows:
        """Return the tensors with the shapes that one model has."""
        return {k: t.view(self.shapes[k]) for k, t in tensors.items()}

    def put(self, what: str, rows: Rows, optimizer: Any = None) -> None:
        """Write rows back (nothing to do for those that were changed in place)."""
        mine = self.get(what, optimizer)
        for name, value in rows.items():
            if value.data_ptr() != mine[name].data_ptr():
                mine[name].copy_(value)

    def own(self, i: int, optimizer: Any) -> Rows:
        """Return one worker's live tensors: parameters, statistics, states ("name/key")."""
        kinds = ("params", "float_buffers", "optimizer_state")
        return {k: v[i] for what in kinds for k, v in self.get(what, optimizer).items()}

    def state_dict(self) -> dict[str, Any]:
        """Return all parameters and buffers."""
        return self.net.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what state_dict gave."""
        self.net.load_state_dict(state)


class Looped:
    """Holds the workers' modules one by one."""

    def __init__(self, models: Sequence[nn.Module]):
        self.models, self.template, self.size = list(models), models[0], len(models)
        self.named = [dict(m.named_parameters()) for m in models]

    def leaves(self) -> list[nn.Parameter]:
        """Return the parameters that an optimizer steps."""
        return [p for model in self.models for p in model.parameters()]

    def leaves_of(self, name: str) -> list[nn.Parameter]:
        """Return the parameters that hold one parameter of the workers."""
        return [named[name] for named in self.named]

    def counters(self) -> Rows:
        """Return the counters of worker 0, of those that a checkpoint holds."""
        kept = kept_buffers(self.template)
        return {k: b.clone() for k, b in _counters(self.models[0]).items() if k in kept}

    def forward(self, xs: Any, ranks: Sequence[int]) -> Any:
        """Return each worker's output for its own inputs; without inputs there is no call."""
        return [m(x) if len(x) else x for m, x in zip(self.models, xs, strict=True)]

    def modules(self) -> list[nn.Module]:
        """Return the modules whose mode and keys are to be set."""
        return self.models

    def _each(self, what: str, optimizer: Any) -> list[dict[str, torch.Tensor]]:
        if what == "params":
            return [{k: p.detach() for k, p in named.items()} for named in self.named]
        if what == "gradients":
            return [{k: p.grad for k, p in n.items() if p.grad is not None} for n in self.named]
        if what == "float_buffers":
            return [float_buffers(model) for model in self.models]
        return [_states(named, optimizer) for named in self.named]

    def get(self, what: str, optimizer: Any = None) -> Rows:
        """Return rows: a view for one worker, copies for more; only names that all have."""
        each = self._each(what, optimizer)
        names = [k for k in each[0] if all(k in other for other in each)]
        if len(each) == 1:
            return {k: each[0][k].unsqueeze(0) for k in names}
        place = each[0][names[0]].device if names else None
        return {k: torch.stack([one[k].to(place) for one in each]) for k in names}

    @torch.no_grad()
    def put(self, what: str, rows: Rows, optimizer: Any = None) -> None:
        """Write rows back; gradients may be new."""
        each = self._each(what, optimizer)
        for name, value in rows.items():
            for i, mine in enumerate(each):
                if name not in mine:
                    self.named[i][name].grad = value[i].to(self.named[i][name]).clone()
                elif mine[name].data_ptr() != value[i].data_ptr():
                    mine[name].copy_(value[i])

    def fill_gradients(self, everywhere: bool) -> None:
        """Put zeros where there is no gradient but another worker has one, or everywhere."""
        for name in self.named[0]:
            some = [named[name] for named in self.named]
            wanted = everywhere or any(p.grad is not None for p in some)
            for p in some if wanted else ():
                if p.grad is None and p.requires_grad:
                    p.grad = torch.zeros_like(p)

    def drop_gradients(self, names: Sequence[str]) -> None:
        """Set the gradients of these names to None."""
        for named in self.named:
            for name in names:
                named[name].grad = None

    def own(self, i: int, optimizer: Any) -> Rows:
        """Return one worker's live tensors: parameters, statistics, states ("name/key")."""
        kinds = ("params", "float_buffers", "optimizer_state")
        return {k: v for what in kinds for k, v in self._each(what, optimizer)[i].items()}

    def state_dict(self) -> dict[str, Any]:
        """Return all parameters and buffers."""
        return {str(i): model.state_dict() for i, model in enumerate(self.models)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what state_dict gave."""
        for i, model in enumerate(self.models):
            model.load_state_dict(state[str(i)])


def _states(named: dict[str, Any], optimizer: Any) -> dict[str, torch.Tensor]:
    if optimizer is None:
        return {}
    return {
        f"{k}/{key}": value
        for k, p in named.items()
        for key, value in optimizer.state.get(p, {}).items()
        if _follows(key, value, p)
    }


def _follows(key: str, value: Any, p: torch.Tensor) -> bool:
    """Return whether a state belongs to its parameter's numbers (a count of steps does not)."""
    return isinstance(value, torch.Tensor) and value.shape == p.shape and key != "step"
