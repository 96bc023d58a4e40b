"""How many bytes a micro-batch keeps on a stage between its two passes, counted on a copy."""

import copy

import torch
from torch.autograd.graph import saved_tensors_hooks

from parallel.pipeline.stage import Stage


def kept(stage: Stage, kinds: list[torch.Tensor]) -> int:
    """Bytes of its inputs, its output and of all that autograd saves, weights left out.

    Args:
        stage: Its layers; a copy of them is called.
        kinds: Tensors like the inputs and, of the last stage, the targets; without memory.
    """
    module = copy.deepcopy(stage.module)
    own = [*module.parameters(), *module.buffers()]
    device = next((p.device for p in own), torch.device("cpu"))
    x, *targets = (torch.zeros(v.shape, dtype=v.dtype, device=device) for v in kinds)
    if stage.policy.recompute:
        return sum(v.untyped_storage().nbytes() for v in (x, *targets))
    if x.is_floating_point() and stage.weights.stage:
        x.requires_grad_()
    saved: list[torch.Tensor] = [x, *targets]

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        saved.append(tensor)
        return tensor

    with torch.random.fork_rng(), torch.enable_grad(), saved_tensors_hooks(pack, lambda v: v):
        y = module(x.clone() if x.requires_grad else x)
        saved.append(stage.loss(y, *targets) if stage.loss is not None else y)
    apart = {address(v) for v in own}
    every = {address(v): v.untyped_storage().nbytes() for v in saved}
    return sum(size for place, size in every.items() if place not in apart)


def address(tensor: torch.Tensor) -> int:
    """Where its memory begins."""
    return tensor.untyped_storage().data_ptr()
