"""Data-parallel training in one process, in several, on several machines: the same script.

>>> from parallel import DataParallel
>>> net = DataParallel(style="localSGD", model=net)      # then an ordinary training loop

>>> from parallel import World, train
>>> for row in train(net, "digits", strategy="elastic_gossip", world=World.sim(64)): ...

Public names are loaded on first use, so that `import parallel` never pays for torch.
"""

from typing import TYPE_CHECKING

from harness.lazy import lazily

if TYPE_CHECKING:
    from parallel.identities.findings import verify as verify
    from parallel.pipeline.actions import Table as Table
    from parallel.pipeline.pipeline import Pipeline as Pipeline
    from parallel.pipeline.weights import Policy as Policy
    from parallel.strategy import STRATEGIES as STRATEGIES
    from parallel.strategy import Strategy as Strategy
    from parallel.training.loop import train as train
    from parallel.world.ops import AllReduce as AllReduce
    from parallel.world.ops import Exchange as Exchange
    from parallel.world.ops import Push as Push
    from parallel.world.ops import Round as Round
    from parallel.world.world import World as World
    from parallel.wrap import benchmarks as benchmarks
    from parallel.wrap.data_parallel import DataParallel as DataParallel
    from parallel.wrap.model_parallel import ModelParallel as ModelParallel

_HOME = {
    "World": "parallel.world.world",
    "STRATEGIES": "parallel.strategy",
    "Strategy": "parallel.strategy",
    "Round": "parallel.world.ops",
    "AllReduce": "parallel.world.ops",
    "Exchange": "parallel.world.ops",
    "Push": "parallel.world.ops",
    "Pipeline": "parallel.pipeline.pipeline",
    "Policy": "parallel.pipeline.weights",
    "Table": "parallel.pipeline.actions",
    "train": "parallel.training.loop",
    "DataParallel": "parallel.wrap.data_parallel",
    "ModelParallel": "parallel.wrap.model_parallel",
    "benchmarks": "parallel.wrap",
    "verify": "parallel.identities.findings",
}
__all__ = sorted(_HOME)  # pyright: ignore
__getattr__, __dir__ = lazily(__name__, _HOME)
