"""What an engine is asked for, and how it listens to one of its members."""

import json
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from harness.record.study import Study

GRACE = 30.0  # seconds that members get to finish their writes after Ctrl-C
Hear = Callable[[list[Any]], None]
Group = tuple[str, tuple[int, ...]]  # an arm, and its seeds that train side by side


@dataclass(frozen=True)
class Needs:
    """What one group of seeds takes where it trains, as batch systems ask for it."""

    cores: int = 1
    memory_gb: float | None = None
    gpus: float = 0


@dataclass(frozen=True)
class Place:
    """What people say about the place (--partition, --ray-address, ...); engines know their own."""

    partition: str | None = None
    time: str | None = None
    slurm: str = ""
    detach: bool = False
    ray_address: str | None = None
    ray_open: bool = False


@dataclass(frozen=True)
class Members:
    """What to start, how often, and what its environment says besides that of this process.

    `groups` are the trainings that are open, for engines that deal them out, and `starts` the files
    of weights that one of them begins with; `over` says that all of them have ended, so that
    members which have not begun yet need not.
    """

    argv: Sequence[str]
    size: int
    env: Mapping[str, str]
    study: Study | None = None
    groups: Sequence[Group] = ()
    needs: Needs = Needs()
    place: Place = Place()
    over: Callable[[], bool] = field(default=lambda: False)
    starts: Callable[[str, Sequence[int]], Sequence[Path]] = field(default=lambda arm, seeds: ())


class Engine(Protocol):
    """Says what there is where its members run, and runs all of them to their end."""

    def device(self, name: str, gpus: float = 0) -> str:
        """Return what `--device` means to a member: cpu, cuda or cuda:N; auto is one of these.

        Args:
            name: What was typed.
            gpus: How many of them a group of the plan asks for.

        Raises:
            ValueError: there is no such device where members run.
        """
        ...

    def share(self, jobs: int, threads: int | None, groups: int) -> tuple[int, int]:
        """Return how many members there are, and threads of each; with none, the caller works.

        Args:
            jobs: As many as were asked for; 0: what suits.
            threads: As many as a training can use well, where that is known.
            groups: How many trainings there are.
        """
        ...

    def __call__(self, members: Members, hear: Hear) -> int:
        """Start the members, hear them, and wait for them; returns the worst exit status.

        `hear` is called with each event, one at a time; the events of a member come in its order,
        and ["lost", arm, seeds, words, died] where it ended with a group in hand. One that died
        without any, in start-up or between groups, is told as ["died", words] by engines whose
        members choose their groups. On an exception (Ctrl-C) the members are ended in order before
        it goes on. What `hear` raises is raised at the end, as no member must meet a closed pipe.
        """
        ...


class Elsewhere:
    """What engines have in common whose machines cannot be asked beforehand what they have."""

    def device(self, name: str, gpus: float = 0) -> str:
        """Return what was typed; auto is a GPU for plans that ask for one."""
        if name == "auto":
            return "cuda" if gpus else "cpu"
        return name


class Detached(Exception):
    """The members go on without this process; the text says where, and what to type."""


class Ear:
    """Hears one member: hands its events on, and knows which group it has in hand.

    Several ears share a lock, so that `hear` is called by one at a time. `sent` is the group that
    the member was given, where an engine knows it. `trouble` is the first thing that `hear` has
    raised; `refused` says that the member does not train where it is.
    """

    def __init__(
        self, hear: Hear, lock: AbstractContextManager | None = None, sent: Group | None = None
    ):
        self.hear, self.lock, self.sent = hear, lock or threading.Lock(), sent
        self.chooses = sent is None
        self.refused = False
        self.group: list[Any] | None = None
        self.trouble: BaseException | None = None

    def line(self, text: str) -> None:
        """Hear what a member has said."""
        with self.lock:
            try:
                event = json.loads(text)
                self._follow(event)
                self.hear(event)
            except Exception as error:
                self.trouble = self.trouble or error

    def _follow(self, event: list[Any]) -> None:
        if event[0] == "begin":
            if self.group:  # (a batch system has started this member again)
                self.hear(["lost", *self.group, "", True])
            self.group, self.sent = event[1:3], None
        elif event[0] == "end":
            self.group = None
        elif event[0] == "refused":
            self.refused = True

    def closed(self, words: str, died: bool) -> None:
        """Take note that the member has ended; the group that it still had in hand is lost.

        So is one that was sent and has not begun, as its machine died on the way. A member that
        chooses, and has died with none in hand, may have left all that nobody holds.

        Args:
            words: Its last ones.
            died: It did not end by itself, so that another start may lead further.
        """
        if group := self.group or (self.sent if died else None):
            self.line(json.dumps(["lost", *group, words, died]))
            self.group = self.sent = None
        elif died and self.chooses and not self.refused:
            self.line(json.dumps(["died", words]))


def say_once(logs: Sequence[str]) -> None:
    """Repeat on stderr what members said there; all of them meet the same missing file."""
    said: list[list[str]] = []
    for log in logs:
        if last_words(log) == "KeyboardInterrupt":  # (while it was starting up)
            log = log[: log.find("Traceback (most recent call last)")]
        lines = [x for x in log.splitlines() if x.strip() and "interrupted;" not in x]
        if lines and lines not in said:
            said.append(lines)
            print("\n".join(lines), file=sys.stderr)


def last_words(log: str) -> str:
    """Return the last line of a log, which is where programs say why they end."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return lines[-1][:200] if lines else ""
