"""What `parallel.train` refuses before anything starts, in the words in which ranks would.

Everything that needs neither a process nor a batch is looked at here: what the arguments are, the
pipeline against the world, the net's pieces against the stages, the optimizer against the policy,
samples against workers. What is left, ranks find, and all say it.
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from harness.data import Data
from harness.names import uncalled
from parallel.executors import executor_of
from parallel.pipeline import spike
from parallel.pipeline.ahead import suitable
from parallel.pipeline.build import stepping
from parallel.pipeline.cut import fits
from parallel.pipeline.pipeline import Pipeline
from parallel.pipeline.policies import POLICIES
from parallel.pipeline.schedules import SCHEDULES
from parallel.strategy import STRATEGIES, Strategy, make
from parallel.training.shards import Shards
from parallel.training.suited import suited
from parallel.training.training import needs_all
from parallel.world.comm import Comm
from parallel.world.world import World


def strategy_of(given: Any) -> Strategy | Pipeline:
    """A strategy, by name or made.

    Raises:
        ValueError: it is none; a schedule, a policy or a class is told what to type.
    """
    if isinstance(given, str) and given not in STRATEGIES and given in (*SCHEDULES, *POLICIES):
        word = "weights" if given in POLICIES else "schedule"
        how = f'Pipeline(stages=N, {word}="{given}")'
        if given == "async_1f1b":
            how = 'Pipeline(stages=N, weights="pipedream")'
        raise ValueError(f"strategy={given!r} belongs to a pipeline: take strategy={how}")
    if isinstance(given, str):
        return make(given)
    if not isinstance(given, Strategy | Pipeline):
        hint = uncalled(given, "stages=N" if given is Pipeline else "")
        raise ValueError(
            f"strategy is a name, a Strategy (make it first) or a Pipeline, got {given!r}{hint}"
        )
    return given


def world_of(given: Any, strategy: Strategy | Pipeline) -> World:
    """A world; by default a simulation that fits.

    Raises:
        ValueError: it is none, or its processes would not compute what this one would.
    """
    if given is None:
        return World.sim(strategy.ranks if isinstance(strategy, Pipeline) else 4)
    if not isinstance(given, World):
        raise ValueError(f"world is World.sim(n), World.procs(n) or World.env(), got {given!r}")
    if given.kind == "procs" and any(map(torch.is_autocast_enabled, ("cpu", "cuda"))):
        raise ValueError(
            "World.procs: processes do not inherit autocast: put it into the model's forward pass "
            "(with torch.autocast(...)), which goes with the model"
        )
    return given


def numbers(**given: tuple[Any, int]) -> None:
    """Whole numbers, each with its least value; None is left out.

    Raises:
        ValueError: names one that is none.
    """
    for name, (value, least) in given.items():
        if value is not None and (not isinstance(value, int) or value < least):
            raise ValueError(f"{name} is a whole number, {least} or more, got {value!r}")


def measured(given: Any, strategy: Strategy | Pipeline) -> dict[str, bool]:
    """The option of a training that counts what stages do; none, where nobody has asked.

    Raises:
        ValueError: there are no stages.
    """
    if given and not isinstance(strategy, Pipeline):
        raise ValueError(
            f"measured={given!r} counts what the stages of a Pipeline do, and strategy is "
            f"{type(strategy).__name__}: leave it out (its rows have bytes and times)"
        )
    return {"measured": True} if given else {}


def called(model: Any, loss: Any) -> None:
    """A net and a loss are objects or functions, not the classes of modules.

    Raises:
        ValueError: one is a class.
    """
    for name, value in (("model", model), ("loss", loss)):
        if isinstance(value, type) and issubclass(value, nn.Module):
            what = "a net, or a function from a rank to one" if name == "model" else "a function"
            raise ValueError(f"{name} is {what}, got {value!r}{uncalled(value)}")


def before(
    parts: tuple[Any, Data, Any, Callable, Strategy | Pipeline], world: World, **options: Any
) -> None:
    """Refuse what would be refused by every rank.

    Args:
        parts: Model, data, loss, optimizer and strategy.
        world: Where it will be trained.
        **options: Those of the training: batch_size, seed, reshuffle.

    Raises:
        ValueError: says what does not fit.
    """
    model, data, loss, optimizer, strategy = parts
    if isinstance(model, nn.Module) and not any(True for _ in model.parameters()):
        raise ValueError(f"{type(model).__name__} has no weights (parameters): nothing can train")
    workers = 1
    if isinstance(strategy, Pipeline):
        most = min(options["batch_size"], len(data.train_y))
        suited(strategy, loss, world.workers, world.kind == "sim", world.elastic, most)
        if isinstance(model, nn.Module):
            fits(model, strategy.stages, strategy.layer_split)
            _steps(list(model.parameters()), optimizer, strategy)
    else:
        workers = world.workers
        needs_all(strategy, world.elastic)
        executor_of(copy.deepcopy(strategy), Comm(workers), options["seed"])
    orders = {k: options[k] for k in ("seed", "reshuffle")}
    Shards(len(data.train_y), workers, options["batch_size"], **orders)


def _steps(params: list[nn.Parameter], optimizer: Callable, pipeline: Pipeline) -> None:
    """The optimizer can step a stage, and has what the policy asks it for."""
    policy, stages = pipeline.policy, range(pipeline.stages)
    stepper = stepping(optimizer, params)
    if policy.spike:
        spike.able(stepper)
    if policy.ahead and any(any(policy.reach(k, pipeline.stages)) for k in stages):
        suitable(policy.ahead, stepper)
