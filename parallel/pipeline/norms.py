"""Norms of weights by a hook, as torch had them before parametrizations: they cannot be copied."""

from torch import nn
from torch.nn.utils.weight_norm import WeightNorm


def no_old_norms(model: nn.Module) -> None:
    """Refuse torch.nn.utils.weight_norm, whose weight is no leaf and stands beside the parameters.

    Raises:
        ValueError: names the layers, and what to take.
    """
    names = [
        f"{name}.{hook.name}".lstrip(".")
        for name, module in model.named_modules()
        for hook in module._forward_pre_hooks.values()
        if isinstance(hook, WeightNorm)
    ]
    if names:
        raise ValueError(
            f"{', '.join(names)}: torch.nn.utils.weight_norm sets a weight by a hook, and a net "
            "with such cannot be copied: take torch.nn.utils.parametrizations.weight_norm"
        )
