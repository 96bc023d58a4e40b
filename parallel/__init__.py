"""Data-parallel training in one process, in several, on several machines: the same script.

>>> from parallel import DataParallel
>>> net = DataParallel(style="localSGD", model=net)      # then an ordinary training loop

>>> from parallel import World, train
>>> for row in train(net, "digits", strategy="elastic_gossip", world=World.sim(64)): ...

Public names are loaded on first use, so that `import parallel` never pays for torch.
"""

from importlib import import_module, metadata
from typing import Any

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
    "benchmarks": "parallel.wrap.benchmarks",
    "verify": "parallel.identities.findings",
}
__all__ = sorted(_HOME)  # pyright: ignore


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return metadata.version("iddl")
    if name not in _HOME:
        raise AttributeError(
            f"module 'parallel' has no attribute {name!r}; it has {', '.join(__all__)}"
        )
    module = import_module(_HOME[name])
    value = module if name == "benchmarks" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__():
    return __all__
