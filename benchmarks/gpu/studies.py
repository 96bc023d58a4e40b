"""`python -m benchmarks.gpu.studies LINE --out DIR`: studies that fit a card lent for minutes.

    pipelines    the nets of SpecTrain on images at full width, and on texts
    narrow       the same nets on images at an eighth of the width
    paper-18     ResNet-18 and its sparse kin at full width, the original study's settings
    paper-34     ResNet-34, paper-50 ResNet-50, likewise
    designs      ResNet-18 with block designs and with equal degrees, likewise
    float32      ten epochs of the nets of paper-18 in float32, beside bfloat16
    exits        ResNet-18 with early exits at full width, 50 epochs
    groups       ResNet-18 in 1 to 16 groups at full width, 30 epochs, as in the original study

Commands of a round run side by side, each in processes of its own, because one small net leaves
most of a card idle. ResNets train one after the other: replayed as CUDA graphs they fill it, and a
run that is whole comes home, where nine that are half done do not. A round that takes longer than
its limit is interrupted as by Ctrl-C, so that what is done is kept; the same call goes on with it.
After each round DIR/results.tar.gz holds all records so far, without weights and checkpoints: copy
them home, unpack them in the checkout, and the plan's own command shows them. `--plan` prints
commands and limits and runs nothing.
"""

import argparse
import os
import re
import shlex
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple


class Round(NamedTuple):
    """Commands that run side by side, and the seconds after which they are interrupted."""

    seconds: int
    commands: tuple[str, ...]


# A checkpoint of VGG16 at full width has gigabytes, and its run takes seconds: none is written.
NEVER = "--checkpoint-every 1e6"
ALONE = "--seeds 3 --jobs 1 --autocast --device cuda --checkpoint-every 60"
SHORT = (
    "resnet paper --arms ResNet-18 B-ResNet-18 R-ResNet-18 --epochs 10 --seeds 1 --jobs 1 "
    "--device cuda{} --checkpoint-every 60"
)
MOST = 560  # seconds of a round that is alone in its call


def paper(depth: int) -> tuple[Round, ...]:
    """The published nets of this depth.

    A run takes one to five minutes as CUDA graphs (an estimate from 3.2 ms a step of ResNet-18),
    and five to ten if all of its steps were eager (16 to 36 ms); the same call goes on.
    """
    arms = f"ResNet-{depth} B-ResNet-{depth} R-ResNet-{depth}"
    return (Round(MOST, (f"resnet paper --arms {arms} {ALONE}",)),)


LINES = {
    "pipelines": (
        # ResNet50 in four stages holds a dozen GiB. Texts are read by the processor: there an LSTM
        # uses its weights themselves, which a backward pass with other weights needs.
        Round(
            480,
            (
                f"parallel spectrain_full --jobs 3 --device cuda {NEVER}",
                f"parallel spectrain_texts --jobs 9 --device cpu {NEVER}",
            ),
        ),
    ),
    "narrow": (
        Round(
            150,
            (
                f"parallel spectrain_images2 --jobs 7 --device cuda {NEVER}",
                f"parallel spectrain_images3 --jobs 7 --device cuda {NEVER}",
            ),
        ),
        Round(120, (f"parallel spectrain_images --jobs 14 --device cuda {NEVER}",)),
    ),
    **{f"paper-{depth}": paper(depth) for depth in (18, 34, 50)},
    "designs": (Round(MOST, (f"resnet designs {ALONE}",)),),
    "float32": (Round(MOST, tuple(SHORT.format(more) for more in ("", " --autocast"))),),
    "exits": (Round(MOST, (f"resnet exits --width 64 --first 0 --epochs 50 {ALONE}",)),),
    "groups": (Round(MOST, (f"resnet groups --width 64 --first 0 --epochs 30 {ALONE}",)),),
}
PATIENCE = 20  # seconds that an interrupted command has to write down what is done
KEPT = (".json", ".jsonl", ".csv", ".txt")


def main(argv: list[str] | None = None) -> int:
    """Run a line, or show it; 1 if a command failed or was interrupted."""
    parser = argparse.ArgumentParser("python -m benchmarks.gpu.studies", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("lines", nargs="+", choices=LINES, metavar="LINE", help=", ".join(LINES))
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of results.tar.gz")
    parser.add_argument("--plan", action="store_true", help="print commands and limits")
    options = parser.parse_args(argv)
    rounds = [one for line in options.lines for one in LINES[line]]
    if options.plan:
        show(rounds)
        return 0
    if options.out is None:
        parser.error("--out DIR is needed: the folder for results.tar.gz")
    options.out.mkdir(parents=True, exist_ok=True)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # (ends as by Ctrl-C)
    try:
        return max([*take(rounds, options.out)])
    finally:
        signal.signal(signal.SIGTERM, before)


def show(rounds: list[Round]) -> None:
    """Commands of each round, and its limit."""
    for one in rounds:
        print(f"at most {one.seconds:3} s")
        for command in one.commands:
            print("   ", shlex.join(words(command)[1:]))
    print(f"at most {sum(one.seconds for one in rounds)} s together")


def words(command: str) -> list[str]:
    """What is started."""
    return [sys.executable, "-m", *f"{command} --no-figures".split()]


def take(rounds: list[Round], out: Path) -> Iterator[int]:
    """Run rounds one after the other; yields whether each went wrong."""
    for one in rounds:
        begin, running = time.monotonic(), []
        try:
            running += [start(command, out) for command in one.commands]
            codes = [wait(process, begin + one.seconds) for process in running]
        finally:  # (Ctrl-C, too, leaves nothing on the card, and brings home what is done)
            for process in running:
                wait(process, 0)
            pack(out)
        spent = time.monotonic() - begin
        for command, code in zip(one.commands, codes, strict=True):
            print(f"{command}: status {code} after {spent:.0f} s", flush=True)
        yield int(any(codes))


def start(command: str, out: Path) -> subprocess.Popen:
    """A command with what it prints in a file, in a group of its own so that it can be stopped."""
    own = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (out / f"{re.sub(r'[^a-z0-9_]+', '-', command)[:60]}.log").open("a") as file:
        return subprocess.Popen(
            words(command), stdout=file, stderr=subprocess.STDOUT, env=own, start_new_session=True
        )


def wait(process: subprocess.Popen, until: float) -> int:
    """Its exit status; interrupted when its time is over, and killed where that does not help."""
    for stop in (lambda: None, partial(process.send_signal, signal.SIGINT)):
        stop()
        try:
            return process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            until = time.monotonic() + PATIENCE
    os.killpg(process.pid, signal.SIGKILL)
    return process.wait(PATIENCE)


def pack(out: Path) -> None:
    """All small files of the results, in one archive."""
    with tarfile.open(out / "results.tar.gz", "w:gz") as archive:
        for path in sorted(Path("results").rglob("*")):
            if path.is_file() and path.suffix in KEPT:
                archive.add(path)


if __name__ == "__main__":
    raise SystemExit(main())
