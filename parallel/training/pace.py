"""Says which rank of a pipeline the others wait for, from the time that each of them works."""

from statistics import median

from parallel.pipeline.cut import timed
from parallel.training.copies import Copies

SLOW = 1.5  # times the others' median: a rank that is told
LEAST = 1e-3  # seconds an update: less is not worth a word
GIVEN = 'layer_split="measured" balances by times'
BALANCED = "it was cut by measured times: its layers, or its machine, are slower now"


def slow(copies: Copies) -> list[str]:
    """Return a sentence, by what was known at the last row; none where nobody is slow."""
    paces, pipeline = copies.paces, copies.pipeline
    if len(paces) < 2:
        return []
    rank = max(range(len(paces)), key=paces.__getitem__)
    most, others = paces[rank], median([*paces[:rank], *paces[rank + 1 :]])
    if most < SLOW * others or most - others < LEAST:
        return []
    advice = BALANCED if timed(pipeline.layer_split) else GIVEN
    return [
        f"{name(copies, rank)} takes {1e3 * most:.1f} ms an update, the others {1e3 * others:.1f} "
        f"on the median: the pipeline waits for it; {advice}"
    ]


def name(copies: Copies, rank: int) -> str:
    """Return what a rank of the world has: its stage, or stages, and of which replica."""
    replica, own = divmod(rank, copies.pipeline.lane)
    home = copies.executor.table.home
    stages = [str(k) for k in range(copies.pipeline.stages) if home[k] == own]
    several = f"rank {rank} (stages {' and '.join(stages)})"
    found = several if len(stages) > 1 else f"stage {stages[0]}"
    return found + f" of replica {replica}" * (copies.pipeline.replicas > 1)
