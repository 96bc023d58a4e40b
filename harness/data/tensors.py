"""A data set as tensors: inputs and targets of its training, test and validation parts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import isqrt, prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

INPUTS = ("train_x", "test_x", "validation_x")
TARGETS = ("train_y", "test_y", "validation_y")


def held_out(size: int) -> int:
    """Where the last fifth of a training set begins, which a holdout split tests on."""
    return size * 4 // 5


@dataclass(frozen=True)
class Data:
    """Inputs are float32 (samples, ...), targets int64; on the device they were asked for.

    Texts are int64 (samples, length), numbers of words (`tokens`): nothing scales or pads them.
    `names` are those of the classes, where they came as text.
    """

    name: str
    split: str
    train_x: "torch.Tensor"
    train_y: "torch.Tensor"
    test_x: "torch.Tensor"
    test_y: "torch.Tensor"
    validation_x: "torch.Tensor | None" = None
    validation_y: "torch.Tensor | None" = None
    names: tuple[str, ...] = ()

    @classmethod
    def from_tensors(
        cls,
        x: Any,
        y: Any,
        *,
        test: "tuple[Any, Any] | float" = 0.2,
        validation: "tuple[Any, Any] | None" = None,
        name: str = "own data",
        seed: int = 0,
        tokens: bool = False,
    ) -> "Data":
        """Make a Data of your own tensors, arrays or lists.

        Args:
            x: Inputs (samples, ...).
            y: Classes (samples,), whole numbers from 0 on; of 0 there is at least one.
            test: The test part (x, y); or the share of the samples that is set aside for it, each
                class in proportion.
            validation: The validation part (x, y), if there is one.
            name: What tables and errors call it.
            seed: Seed of the split.
            tokens: The inputs are numbers of words, whole and from 0 on, and stay so.

        Raises:
            DataError: what does not fit, and how it should be.
        """
        from harness.data import own

        train = own.pair(x, y, name, tokens)
        own.from_zero(train[1], name)
        if isinstance(test, tuple | list):
            held = own.pair(*test, f"test part of {name}", tokens)
            said = f"given split, {len(train[0])} train / {len(held[0])} test"
        else:
            train, held, said = own.divide(*train, test, seed)
        kept = (None, None)
        if validation:
            kept = own.pair(*validation, f"validation part of {name}", tokens)
            said += f" / {len(validation[0])} validation"
        for what, other in (("test", held[0]), ("validation", kept[0])):
            own.same_shape(train[0], other, f"{what} part of {name}")
        return cls(name, said, *train, *held, *kept)

    @classmethod
    def from_dataset(
        cls,
        dataset: Any,
        *,
        test: Any = 0.2,
        validation: Any = None,
        name: str = "own data",
        seed: int = 0,
        tokens: bool = False,
    ) -> "Data":
        """Read a torch or torchvision Dataset once; pictures become floats between 0 and 1.

        `test` and `validation` are Datasets, tensors (x, y), or for `test` a share; the rest is as
        in `from_tensors`.
        """
        from harness.data import own

        def part(given: Any, what: str) -> Any:
            plain = given is None or isinstance(given, float | tuple | list)
            return given if plain else own.gather(given, f"{what} part of {name}", tokens)

        x, y = own.gather(dataset, name, tokens)
        parts = dict(test=part(test, "test"), validation=part(validation, "validation"))
        return cls.from_tensors(x, y, **parts, name=name, seed=seed, tokens=tokens)

    @classmethod
    def from_csv(
        cls,
        path: str | Path,
        target: str | None = None,
        *,
        test: "str | Path | float" = 0.2,
        drop: Sequence[str] = (),
        scale: bool = True,
        name: str | None = None,
        seed: int = 0,
    ) -> "Data":
        """Read a CSV table of numbers with one column to predict.

        Args:
            path: The CSV file; its first line names the columns.
            target: The column to predict, text or whole numbers; default: the last one.
            test: Another file with the same columns; or the share that is set aside.
            drop: Columns that are not read.
            scale: Give every column the mean 0 and the deviation 1 of its training part.
            name: What tables and errors call it; default: the name of the file.
            seed: Seed of the split.

        Raises:
            DataError: names the column and the line that do not fit.
        """
        from harness.data import frame

        table, said = frame.read(path)
        target = str(table.columns[-1]) if target is None else target
        columns = [column for column in table.columns if column not in (target, *drop)]
        values = frame.target(table, target, said)
        classes = sorted(set(values))
        x, y = frame.inputs(table, columns, said), frame.number(values, classes, said)
        part: Any = test
        if isinstance(test, str | Path):
            other, where = frame.read(test)
            found = frame.number(frame.target(other, target, where), classes, where)
            part = frame.inputs(other, columns, where), found
        data = cls.from_tensors(x, y, test=part, name=name or Path(path).stem, seed=seed)
        split = f"{target} of {said}, {data.split}"
        data = replace(data, split=split, names=tuple(map(str, classes)))
        return data.scaled() if scale else data

    def scaled(self) -> "Data":
        """Return the data with mean 0 and deviation 1 of each input value, by the training part.

        Raises:
            ValueError: the inputs are numbers of words.
        """
        self.amounts()
        mean, deviation = self.train_x.mean(0), self.train_x.std(0, correction=0)
        deviation[deviation == 0] = 1.0
        found = self.map(lambda x: (x - mean) / deviation)
        return replace(found, split=f"{self.split}, scaled")

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one input."""
        return tuple(self.train_x.shape[1:])

    @property
    def validation(self) -> "tuple[torch.Tensor, torch.Tensor]":
        """The inputs and targets of the validation part.

        Raises:
            ValueError: there is none; says how to get one.
        """
        if self.validation_x is None or self.validation_y is None:
            raise ValueError(
                f"{self.name} has no validation part: data.validate(size) sets it apart"
            )
        return self.validation_x, self.validation_y

    @property
    def classes(self) -> int:
        """The number of classes, with those that a cut training set has lost."""
        held = [self.train_y, self.test_y, self.validation_y]
        return max(int(y.max()) for y in held if y is not None and len(y)) + 1

    @property
    def tokens(self) -> bool:
        """Whether the inputs are numbers of words: names, which nothing may scale or weigh."""
        return not self.train_x.is_floating_point()

    def amounts(self) -> "Data":
        """The same data, where its inputs are amounts.

        Raises:
            ValueError: they are numbers of words.
        """
        if self.tokens:
            raise ValueError(
                f"the inputs of {self.name} are numbers of words, which only a net that begins "
                "with an embedding can read (harness.nets.sequence): choose another set, or net"
            )
        return self

    def flatten(self) -> "Data":
        """Return the data with one axis per input."""
        return self.map(lambda x: x.flatten(1))

    def images(self) -> "Data":
        """Return the data as (samples, channels, height, width); flat squares become images.

        Raises:
            ValueError: the inputs are no images of at least 8 x 8 pixels.
        """
        shape = self.shape
        if len(shape) == 1 and not self.tokens:
            shape = (isqrt(shape[0]),) * 2
        if len(shape) == 2:
            shape = (1, *shape)
        if self.tokens or prod(shape) != prod(self.shape) or min(shape[1:]) < 8:
            raise ValueError(
                f"{self.name} has no images (a sample has shape {self.shape}): use digits, mnist, "
                "fashion_mnist, cifar10, cifar100 or synthetic_images"
            )
        return self.map(lambda x: x.view(-1, *shape))

    def first(self, size: int) -> "Data":
        """Return the data with only the first `size` training samples; 0 means all.

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
        """Return the images with a border of zeros around each.

        Raises:
            ValueError: the inputs are no images.
        """
        from torch.nn.functional import pad

        if border and len(self.shape) < 2:
            raise ValueError(
                f"pad={border} is for images; a sample of {self.name} has shape {self.shape}"
            )
        return self.map(lambda x: pad(x, [border] * 4)) if border else self

    def validate(self, size: int) -> "Data":
        """Return the data with its last `size` training samples as the validation set.

        Raises:
            ValueError: no training sample would be left, or the size is a share.
        """
        if size == 0:
            return self
        if isinstance(size, float):
            count = round(size * len(self.train_x))
            raise ValueError(
                f"validation={size} is no number of samples: {size} of {len(self.train_x)} are "
                f"validate({count})"
            )
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
        """Return the data on another device."""
        return self.map(lambda x: x.to(device), (*INPUTS, *TARGETS))

    def map(
        self, change: "Callable[[torch.Tensor], torch.Tensor]", parts: Sequence[str] = INPUTS
    ) -> "Data":
        """Return the data with each of these parts changed; parts that it lacks stay away."""
        held = {k: getattr(self, k) for k in parts}
        return replace(self, **{k: change(x) for k, x in held.items() if x is not None})
