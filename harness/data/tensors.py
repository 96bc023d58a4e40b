"""A data set as tensors: inputs and targets of its training, test and validation parts."""

from dataclasses import dataclass, replace
from math import isqrt, prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

INPUTS = ("train_x", "test_x", "validation_x")


class DataError(ValueError):
    """Data that is missing or damaged; no arm of a plan can run."""


@dataclass(frozen=True)
class Data:
    """Inputs are float32 (samples, ...), targets int64; on the device they were asked for."""

    name: str
    split: str
    train_x: "torch.Tensor"
    train_y: "torch.Tensor"
    test_x: "torch.Tensor"
    test_y: "torch.Tensor"
    validation_x: "torch.Tensor | None" = None
    validation_y: "torch.Tensor | None" = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return tuple(self.train_x.shape[1:])

    @property
    def classes(self) -> int:
        """Number of classes (also those that a cut training set has lost)."""
        held = [self.train_y, self.test_y, self.validation_y]
        return max(int(y.max()) for y in held if y is not None and len(y)) + 1

    def flatten(self) -> "Data":
        """The same data with one axis per input."""
        return self._each(lambda x: x.flatten(1), INPUTS)

    def images(self) -> "Data":
        """The same with axes (samples, channels, height, width); flat squares become images.

        Raises:
            ValueError: the inputs are no images of at least 8 x 8 pixels.
        """
        shape = self.shape
        if len(shape) == 1:
            shape = (isqrt(shape[0]),) * 2
        if len(shape) == 2:
            shape = (1, *shape)
        if prod(shape) != prod(self.shape) or min(shape[1:]) < 8:
            raise ValueError(
                f"{self.name} has no images (a sample has shape {self.shape}): use digits, mnist, "
                "fashion_mnist, cifar10, cifar100 or synthetic_images"
            )
        return self._each(lambda x: x.view(-1, *shape), INPUTS)

    def first(self, size: int) -> "Data":
        """Only the first `size` training samples; 0 means all.

        Raises:
            ValueError: there are fewer.
        """
        if size == 0:
            return self
        if size > len(self.train_x):
            raise ValueError(f"{self.name} has {len(self.train_x)} training samples, not {size}")
        x, y = self.train_x[:size], self.train_y[:size]
        return replace(self, split=f"{self.split}, the first {size} to train", train_x=x, train_y=y)

    def pad(self, border: int) -> "Data":
        """The same images with a border of zeros.

        Raises:
            ValueError: the inputs are no images.
        """
        from torch.nn.functional import pad

        if border and len(self.shape) < 2:
            raise ValueError(
                f"pad={border} is for images; a sample of {self.name} has shape {self.shape}"
            )
        return self._each(lambda x: pad(x, [border] * 4), INPUTS) if border else self

    def validate(self, size: int) -> "Data":
        """The last `size` training samples become the validation set.

        Raises:
            ValueError: no training sample would be left.
        """
        if size == 0:
            return self
        cut = len(self.train_x) - size
        if cut < 1:
            raise ValueError(
                f"validation={size} would leave no training sample: {self.name} has "
                f"{len(self.train_x)}"
            )
        x, y = self.train_x, self.train_y
        split = f"{self.split}, of train the last {size} for validation"
        parts = dict(train_x=x[:cut], train_y=y[:cut], validation_x=x[cut:], validation_y=y[cut:])
        return replace(self, split=split, **parts)

    def to(self, device: str) -> "Data":
        """The same data on another device."""
        return self._each(lambda x: x.to(device), (*INPUTS, "train_y", "test_y", "validation_y"))

    def _each(self, change, names: tuple[str, ...]) -> "Data":
        held = {k: getattr(self, k) for k in names}
        return replace(self, **{k: change(x) for k, x in held.items() if x is not None})
