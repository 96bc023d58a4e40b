"""A batch goes through the stages of a pipeline, in micro-batches, inside an ordinary loop.

    batch ──► micro-batches ──► stage 0 ──► stage 1 ──► ... ──► joined again ──► the user's loss

Everything is one graph of autograd's, so `loss.backward()` takes the stages in turn; as the loss is
that of the whole batch, so is the gradient, also where the micro-batches are of different sizes.
`Prompt` stages work with their true weights; `parallel.wrap.late` has the others.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from harness.names import kind_of
from harness.nets.dropout import KeyedDropout, distinct
from parallel.pipeline.checks import order
from parallel.pipeline.cut import Parts, cut, free
from parallel.pipeline.layers import in_words
from parallel.pipeline.pipeline import Pipeline
from parallel.wrap.lates import Lates


class Prompt:
    """A stage that sees its true weights in both passes."""

    def __init__(self, module: nn.Module):
        self.module = module
        self.keyed = [m for m in module.modules() if isinstance(m, KeyedDropout)]

    def __call__(self, j: int, x: torch.Tensor) -> torch.Tensor:
        """The output of micro-batch j, whose masks are its own."""
        kept = [layer.workers for layer in self.keyed]
        for layer in self.keyed:
            layer.workers = (j,)
        try:
            return self.module(x)
        finally:
            for layer, workers in zip(self.keyed, kept, strict=True):
                layer.workers = workers


class Piped:
    """The stages of a net, once the first batch has shown where they are cut.

    Args:
        pipeline: How it is cut, and who does what when.
        devices: One for each rank.
        lates: Of a pipeline that does not wait: its stages, and their ear for optimizers.
    """

    def __init__(self, pipeline: Pipeline, devices: list[torch.device], lates: Lates | None):
        self.pipeline, self.devices, self.lates = pipeline, devices, lates
        table = pipeline.table(1)
        self.home = [devices[table.home[k]] for k in range(pipeline.stages)]
        self.turns = [(a.stage, a.micro) for a in order(table) if a.op == "F"]
        self.parts: Parts | None = None

    @property
    def split(self) -> list[int] | None:
        """Where the net is cut, once that is known."""
        given: Any = self.pipeline.layer_split
        return self.parts.split if self.parts else None if free(given) else list(given)

    def __call__(self, model: nn.Module, training: bool, args: tuple, kwargs: dict) -> Any:
        """The output of a batch."""
        if training:
            return self._train(model, _tensor(args, kwargs))
        if self.parts is None or len(set(self.home)) == 1:
            return model(*args, **kwargs)
        x = _tensor(args, kwargs)
        for module, home in zip(self.parts.modules, self.home, strict=True):
            x = module(x.to(home))
        return x

    def _train(self, model: nn.Module, x: torch.Tensor) -> torch.Tensor:
        parts = self.parts or self._cut(model, x)
        stages = self.lates.stages(parts.modules) if self.lates else [*map(Prompt, parts.modules)]
        micro = x.tensor_split(self.pipeline.micro)
        # (of an empty batch one, so that the net says what it thinks of it)
        flow = {j: part for j, part in enumerate(micro) if len(part) or (not len(x) and not j)}
        for k, j in self.turns:
            if j in flow:
                there = flow[j].to(self._place(parts, k))
                with in_words(f"stage {k}", there):
                    flow[j] = _handed(k, parts, stages[k](j, there))
        if self.lates:
            self.lates.passed()
        return _joined([flow[j] for j in sorted(flow)], [len(micro[j]) for j in sorted(flow)])

    def _place(self, parts: Parts, k: int) -> torch.device:
        """Where a stage is (its own device, unless somebody has moved the net)."""
        return next((p.device for p in parts.modules[k].parameters()), self.home[k])

    def _cut(self, model: nn.Module, x: torch.Tensor) -> Parts:
        """Cut the net, by what this batch costs each layer if nobody said where."""
        distinct(model)
        place = next((p.device for p in model.parameters()), x.device)
        cards = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
        with torch.random.fork_rng(devices=cards):  # (what is timed draws noise of its own)
            stages, split = self.pipeline.stages, self.pipeline.layer_split
            parts = cut(model, stages, split, x.detach().to(place))
        for module, home in zip(parts.modules, self.home, strict=True):
            module.to(home)
        self.parts = parts
        return parts

    def restart(self) -> None:
        """Begin anew, with nothing in flight."""
        if self.lates:
            self.lates.restart()

    def moved(self, fn: Callable[[torch.Tensor], torch.Tensor]) -> None:
        """Move or cast what is in flight."""
        if self.lates:
            self.lates.moved(fn)


def piped(pipeline: Pipeline, seed: int, devices: list[torch.device]) -> Piped:
    """Return the stages of a pipeline, which wait for updates or do not.

    Args:
        pipeline: How it is cut, and who does what when.
        seed: Of noise, where stages do not wait.
        devices: One for each rank.
    """
    lates = None if pipeline.waits else Lates(pipeline.policy, pipeline.micro, seed)
    return Piped(pipeline, devices, lates)


def _tensor(args: tuple, kwargs: dict) -> torch.Tensor:
    """The batch."""
    if len(args) != 1 or kwargs or not isinstance(args[0], torch.Tensor) or not args[0].dim():
        came = [kind_of(a) for a in args] + [f"{k}=..." for k in kwargs]
        raise ValueError(
            "a pipeline takes one tensor of samples, net(x), which goes from stage to stage; got "
            f"net({', '.join(came)}): give the rest to the model before, or take style='basic'"
        )
    return args[0]


def _handed(k: int, parts: Parts, y: Any) -> Any:
    """What a stage gives, if the next can take it."""
    if k == len(parts.modules) - 1 or (isinstance(y, torch.Tensor) and y.is_floating_point()):
        return y
    kind = str(y.dtype) if isinstance(y, torch.Tensor) else kind_of(y)
    raise ValueError(
        f"stage {k} gives {kind}, and one tensor of floating-point numbers can be handed on: cut "
        "the net elsewhere"
    )


def _joined(outputs: list[Any], sizes: list[int]) -> Any:
    """The outputs of micro-batches as one, along the samples."""
    if len(outputs) == 1:
        return outputs[0]
    for y, n in zip(outputs, sizes, strict=True):
        if not isinstance(y, torch.Tensor) or not y.dim() or len(y) != n:
            kind = f"shape {tuple(y.shape)}" if isinstance(y, torch.Tensor) else kind_of(y)
            raise ValueError(
                f"the net made {kind} of {n} samples, and the outputs of micro-batches are joined "
                "sample by sample: let it return one tensor with a row for each sample (the loss "
                "comes after it), or take micro=1"
            )
    return torch.cat(outputs)
