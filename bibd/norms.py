"""Applies weight_norm and spectral_norm to a sparse layer's matrix, not to its list of values.

weight_norm      W = g V / |V|, with a length g for every output; |V| is that of the row of an
output (of all the kernels of a filter), as nn.Linear has it with dim=0
spectral_norm    W / sigma_1(W), by power iteration on the dense matrix: `to_dense().flatten(1)`
"""

from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from bibd import kernels
from bibd.layer import SparseLayer

Sparse = TypeVar("Sparse", bound=SparseLayer)


class RowNorm(nn.Module):
    """Turns lengths and directions of rows into values, and values back into those."""

    rows: torch.Tensor

    def __init__(self, layer: SparseLayer):
        super().__init__()
        rows = torch.from_numpy(layer.pattern.rows).to(layer.weight.device)
        self.register_buffer("rows", rows, persistent=False)
        self.outputs = layer.pattern.out_features

    def forward(self, lengths: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
        """Return values whose rows have these lengths."""
        factors = (lengths / self._lengths(directions))[self.rows]
        return directions * factors.view(-1, *[1] * (directions.ndim - 1))

    def right_inverse(self, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the lengths of the rows of these values, and the values."""
        return self._lengths(values), values

    def _lengths(self, values: torch.Tensor) -> torch.Tensor:
        squares = values.flatten(1).square().sum(1) if values.ndim > 1 else values.square()
        # (An output that reads nothing has no row, and no length to divide by.)
        empty = torch.bincount(self.rows, minlength=self.outputs) == 0
        total = squares.new_zeros(self.outputs).index_add(0, self.rows, squares)
        return (total + empty).sqrt()


class LargestOne(nn.Module):
    """Divides values by the largest singular value of their matrix, as torch estimates it."""

    places: torch.Tensor

    def __init__(self, layer: SparseLayer, options: dict[str, Any]):
        super().__init__()
        self.shape = layer.shape
        places = layer.flat.detach().clone()
        self.register_buffer("places", places, persistent=False)
        holder = nn.Module()
        holder.weight = nn.Parameter(layer.to_dense().detach())
        parametrizations.spectral_norm(holder, **options)
        self.norm: Any = holder.parametrizations["weight"][0]  # pyright: ignore

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return the values over the largest singular value of their matrix."""
        weight = self.norm(kernels.dense_weight(values, self.places, self.shape))
        return weight.flatten(0, 1)[self.places]


def weight_norm(layer: Sparse) -> Sparse:
    """Learn length and direction of each output's weights apart; returns the layer.

    The counterpart of torch.nn.utils.parametrizations.weight_norm(layer, dim=0), with one length
    for each output. The values are as before until training moves them.

    Args:
        layer: A sparse layer.

    Raises:
        ValueError: not a sparse layer.
    """
    _check(layer, "weight_norm")
    parametrize.register_parametrization(layer, "weight", RowNorm(layer), unsafe=True)
    return layer


def spectral_norm(layer: Sparse, n_power_iterations: int = 1, eps: float = 1e-12) -> Sparse:
    """Divide the weight by its largest singular value at each call; returns the layer.

    The counterpart of torch.nn.utils.parametrizations.spectral_norm: it scatters the values into
    the dense matrix, so a call costs as much as a dense layer's.

    Args:
        layer: A sparse layer; of a convolution, the matrix is that of its filters.
        n_power_iterations: Steps of the power iteration at each call in training.
        eps: Keeps the vectors of the iteration away from zero.

    Raises:
        ValueError: not a sparse layer.
    """
    _check(layer, "spectral_norm")
    options = dict(n_power_iterations=n_power_iterations, eps=eps)
    parametrize.register_parametrization(layer, "weight", LargestOne(layer, options))
    return layer


def _check(layer: object, name: str) -> None:
    if not isinstance(layer, SparseLayer):
        raise ValueError(
            f"bibd.{name} is for sparse layers, got {type(layer).__name__}: take "
            f"torch.nn.utils.parametrizations.{name}"
        )
