"""The actions of one rank for one minibatch, of each schedule; `schedules` makes tables of them.

Of several stages on one rank (chunks), local stage i of rank r is stage i x ranks + r. The
micro-batches go through the chunks in rounds: `per` of them through the first, then the same
through the second. The rules for many chunks are those of torch.distributed.pipelining.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator

Step = tuple[int, str, int]  # stage, op, micro-batch


def sizes(name: str, **numbers: int) -> None:
    """Refuse what is no number of things."""
    for what, number in numbers.items():
        if not isinstance(number, int) or number < 1:
            raise ValueError(f"{name}: {what} must be a whole number from 1, got {number!r}")


def ranks(name: str, stages: int, micro: int, chunks: int) -> tuple[int, int]:
    """How many ranks, and chunks on each; a single stage is one of both.

    Raises:
        ValueError: the chunks do not divide the stages; says which numbers of stages they do.
    """
    sizes(name, stages=stages, micro=micro, chunks=chunks)
    if stages == 1:
        return 1, 1
    if stages % chunks:
        near = stages // chunks * chunks
        do = " or ".join(str(n) for n in (near, near + chunks) if n)
        raise ValueError(
            f"{name}: {stages} stages are no whole ranks of {chunks} stages: expected {do} stages"
        )
    return stages // chunks, chunks


def per_round(name: str, ranks: int, micro: int, chunks: int) -> int:
    """How many micro-batches go through a chunk before the next one's turn.

    Raises:
        ValueError: the rounds do not divide the micro-batches; says which numbers near do.
    """
    if chunks == 1 or not micro % _rounds(ranks, micro):
        return micro // _rounds(ranks, micro)
    below = next(m for m in range(micro, 0, -1) if not m % _rounds(ranks, m))
    above = next(m for m in range(micro, 2 * micro + ranks) if not m % _rounds(ranks, m))
    raise ValueError(
        f"{name}: {micro} micro-batches cannot be cut into {_rounds(ranks, micro)} equal rounds, "
        f"which {ranks} ranks need: expected {below} or {above} (any number up to {2 * ranks - 1}, "
        f"and each multiple of {ranks}, will do)"
    )


def _rounds(ranks: int, micro: int) -> int:
    return max(1, micro // ranks)


def in_turn(micro: int, warm: int) -> Iterator[tuple[str, int]]:
    """Some forwards ahead, then forward and backward in turn, then the backwards left."""
    warm = min(warm, micro)
    yield from (("F", j) for j in range(warm))
    for j in range(warm, micro):
        yield "F", j
        yield "B", j - warm
    yield from (("B", j) for j in range(micro - warm, micro))


def looped(rank: int, ranks: int, micro: int, chunks: int, per: int) -> list[Step]:
    """Of interleaved 1f1b."""
    warm = (chunks - 1) * per + 2 * (ranks - 1 - rank)
    forward, backward = _chunks(rank, ranks, chunks, per)
    turns = in_turn(micro * chunks, warm)
    return _numbered((forward(i) if op == "F" else backward(i), op) for op, i in turns)


def halved(rank: int, ranks: int, micro: int, chunks: int, per: int) -> list[Step]:
    """Of ZB-H1: the first W after `rank` more I, then one after each, the rest at the end."""
    warm = (chunks - 1) * per + ranks - 1 - rank
    forward, backward = _chunks(rank, ranks, chunks, per)
    row: list[tuple[int, str]] = []
    for op, i in in_turn(micro * chunks, warm):
        row.append((forward(i), "F") if op == "F" else (backward(i), "I"))
        if op == "B" and i >= rank:
            row.append((backward(i - rank), "W"))
    total = micro * chunks
    row += [(backward(i), "W") for i in range(max(0, total - rank), total)]
    return _numbered(row)


def _chunks(
    rank: int, ranks: int, chunks: int, per: int
) -> tuple[Callable[[int], int], Callable[[int], int]]:
    """The stage of the i-th forward of a rank, and of its i-th backward."""

    def forward(i: int) -> int:
        return i // per % chunks * ranks + rank

    def backward(i: int) -> int:
        return (chunks - 1 - i // per % chunks) * ranks + rank

    return forward, backward


def v_shaped(rank: int, ranks: int, micro: int) -> list[Step]:
    """Of ZB-V; a minibatch of too few micro-batches has gaps in the table of a full one."""
    up, down = rank, 2 * ranks - 1 - rank
    left, full = ranks - rank, max(2 * ranks - 1, micro)
    whole = [(down, "F"), (down, "I"), (down, "W")]
    row = [(up, "F")] * (2 * left - 1) + [(down, "F"), (up, "F")] * rank + whole * left
    rest = full - (2 * left - 1) - rank
    for i in range(full - ranks):
        row += [(up, "F")] * (i < rest) + [(up, "I"), (up, "W"), *whole]
    row += [(up, "I"), (down, "I")] * rank + [(up, "I"), (up, "W")] * left
    row += [(down, "W")] * rank + [(up, "W")] * rank
    return [step for step in _numbered(row) if step[2] < micro]


def _numbered(row: Iterator[tuple[int, str]] | list[tuple[int, str]]) -> list[Step]:
    """Each stage does each of its ops for one micro-batch after the other."""
    count: dict[tuple[int, str], int] = defaultdict(int)
    steps = []
    for stage, op in row:
        steps.append((stage, op, count[stage, op]))
        count[stage, op] += 1
    return steps
