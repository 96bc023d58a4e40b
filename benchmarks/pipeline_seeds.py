"""What ten seeds of a pipeline cost as one stack: `python -m benchmarks.pipeline_seeds`.

CPU time of a step over that of one seed alone, the two in turns; the shortest of five rounds.
"""

import time

import torch

from harness.job import Job
from parallel.plans.staleness import DIGITS, method
from parallel.staged.run import opened, opened_stack
from parallel.training.pipelined import Pipelined

SEEDS, ROUNDS, STEPS = 10, 5, 50


def measured(training: Pipelined) -> float:
    """CPU milliseconds of a step."""
    begin = time.process_time()
    for _ in range(STEPS):
        training.step()
    return 1e3 * (time.process_time() - begin) / STEPS


def compared(name: str, stages: int) -> tuple[float, float]:
    """Of one seed, and of all as a stack; a first round of each warms up."""
    config = method(DIGITS, name, stages, 0.001)
    pair = opened(config, 0, Job()), opened_stack(config, range(SEEDS), Job())
    rounds = [[measured(training) for training in pair] for _ in range(1 + ROUNDS)]
    alone, stacked = (min(times) for times in zip(*rounds[1:], strict=True))
    return alone, stacked


def main() -> None:
    """Print a line for each method and number of stages."""
    torch.set_num_threads(1)
    print(f"{'method':<16}{'stages':>7}{'alone':>12}{f'{SEEDS} seeds':>12}{'ratio':>8}")
    for name in ("pipedream", "vanilla", "spectrain_v1"):
        for stages in (4, 8, 16):
            alone, stacked = compared(name, stages)
            times = f"{alone:>9.2f} ms{stacked:>9.2f} ms{stacked / alone:>8.2f}"
            print(f"{name:<16}{stages:>7}{times}")


if __name__ == "__main__":
    main()
