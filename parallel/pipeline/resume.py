"""A pipeline's state between two updates, with what is in flight, and back.

Micro-batches in flight are saved as their inputs and the version that their forward pass saw; their
graphs are made anew from these, with the same noise, and running statistics do not move again.
"""

from typing import Any

from parallel.pipeline.actions import Action
from parallel.pipeline.executor import Executor
from parallel.pipeline.stage import Flight, Stage


def saved_state(executor: Executor) -> dict[str, Any]:
    """Of this rank; all ranks are behind the same update."""
    channel = executor.channel
    channel.settle(executor.crossing())
    return {
        "at": dict(executor.at),
        "first": executor.first,
        "sent": executor.comm.sent,
        "mail": [(tuple(action), value) for action, value in channel.mail.items()],
        "stages": {k: _stage(stage) for k, stage in executor.stages.items()},
    }


def load_state(executor: Executor, state: dict[str, Any]) -> None:
    """The inverse; open receives and shapes are found again."""
    executor.first, executor.comm.sent = state["first"], state["sent"]
    executor.resume(state["at"], {Action(*action): value for action, value in state["mail"]})
    for k, stage in executor.stages.items():
        _load(stage, state["stages"][k])


def _stage(stage: Stage) -> dict[str, Any]:
    weights = stage.weights
    lost = stage.policy.swaps and stage.flights and stage.late and not stage.resumable
    if lost and not stage.policy.recompute:
        raise ValueError(
            f"{stage.name} has minibatches in flight whose forward weights it did not keep: make "
            "the training with resumable=True"
        )
    pool: list[Any] = [weights.newest, *weights.older]
    flights = []
    for key, flight in stage.flights.items():
        if not any(flight.seen is one for one in pool):
            pool.append(flight.seen)
        seen = next(i for i, one in enumerate(pool) if one is flight.seen)
        flights.append((key, flight.x.detach(), seen, flight.target, flight.share))
    return {
        "module": dict(stage.module.state_dict()),
        "optimizer": weights.optimizer.state_dict() if weights.optimizer else None,
        "number": weights.number,
        "older": len(weights.older),
        "pool": pool[1:],
        "extra": weights.extra,
        "flights": flights,
        "sums": stage.sums,
        "losses": stage.losses,
        "tried": stage.tried,
    }


def _load(stage: Stage, state: dict[str, Any]) -> None:
    weights = stage.weights
    stage.module.load_state_dict(state["module"])
    if weights.optimizer:
        weights.optimizer.load_state_dict(state["optimizer"])
    weights.number, weights.extra = state["number"], state["extra"]
    weights.newest = {name: p.data for name, p in weights.params.items()}
    pool = [weights.newest, *state["pool"]]
    weights.older.clear()
    weights.older.extend(pool[1 : 1 + state["older"]])
    stage.sums, stage.losses, stage.tried = state["sums"], state["losses"], state["tried"]
    stage.flights = {}
    for key, x, seen, target, share in state["flights"]:
        flight = Flight(x, pool[seen], target=target, share=share)
        with stage.noise.again(stage.module):
            stage.run(tuple(key), flight)
        stage.flights[tuple(key)] = flight
