"""Where the members of a sweep run: an engine starts them and hands on what they tell.

    crew -- Members(argv, size, env) --> engine -- one event a line, as a list --> crew

Every member is the same command once more: members share the work by claiming runs
(harness.record.store), so there is nothing to divide. They tell what they do as JSON lists on
stdout (harness.sweep.show.Events). `local` starts processes on this machine; another engine (a
batch queue, a cluster) is one more class like it in a file of its own, and an entry here, which
makes it a word of `--engine`:

    ENGINES["queue"] = Queue()

Nothing above knows which it is, nor asks this machine what it has: members need only the command,
the environment and the results folder.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, Protocol

from harness.sweep.machine import cores_here, pick_device

GRACE = 30.0  # seconds that members get to finish their writes after Ctrl-C
Hear = Callable[[list[Any]], None]


@dataclass(frozen=True)
class Members:
    """What to start, how often, and what its environment says besides that of this process."""

    argv: Sequence[str]
    size: int
    env: Mapping[str, str]


class Engine(Protocol):
    """Says what there is where its members run, and runs all of them to their end."""

    def device(self, name: str) -> str:
        """Return what `--device` means to a member: cpu, cuda or cuda:N; auto is one of these.

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

        `hear` is called with each event, one at a time; the events of a member come in its order.
        On an exception (Ctrl-C) the members are ended in order before it goes on. What `hear`
        raises is raised at the end, as no member must meet a closed pipe.
        """
        ...


class Local:
    """Processes on this machine; a member whose parent has died cannot tell any more, and ends."""

    def device(self, name: str) -> str:
        """Return the device that this machine has by this name."""
        return pick_device(name)

    def share(self, jobs: int, threads: int | None, groups: int) -> tuple[int, int]:
        """Return as many as were asked for, or as the cores carry at this many threads each."""
        size = min(jobs, groups)
        if not jobs:
            size = min(cores_here() // threads, groups) if threads else 1
        if size < 2:
            return 0, 0
        return size, threads or max(1, cores_here() // size)

    def __call__(self, members: Members, hear: Hear) -> int:
        """Run the members, each in a session of its own."""
        return _Processes(members, hear).run()


class _Processes:
    def __init__(self, members: Members, hear: Hear):
        self.members, self.hear = members, hear
        self.trouble: BaseException | None = None
        self.lock = threading.Lock()

    def run(self) -> int:
        logs = [tempfile.TemporaryFile("w+") for _ in range(self.members.size)]  # noqa: SIM115
        started = [self._start(log) for log in logs]
        readers = [threading.Thread(target=self._listen, args=(m.stdout,)) for m in started]
        for reader in readers:
            reader.start()
        try:
            for member in started:
                member.wait()
        except BaseException:
            self._stop(started)
            raise
        finally:
            for reader in readers:
                reader.join(GRACE)
            self._repeat(logs)
        if self.trouble:
            raise self.trouble
        return max(m.returncode if m.returncode >= 0 else 1 for m in started)

    def _start(self, log: IO[str]) -> subprocess.Popen:
        # A session of its own: Ctrl-C reaches only the parent, which passes it on once.
        return subprocess.Popen(
            self.members.argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, **self.members.env},
            text=True,
            start_new_session=True,
        )

    def _stop(self, members: Sequence[subprocess.Popen]) -> None:
        for member in members:
            if member.poll() is None:
                member.send_signal(signal.SIGINT)
        for member in members:
            try:
                member.wait(GRACE)
            except subprocess.TimeoutExpired:
                member.kill()
                member.wait()

    def _repeat(self, logs: Sequence[IO[str]]) -> None:
        """Say once what members said on stderr (all of them meet the same missing file)."""
        said: list[list[str]] = []
        for log in logs:
            log.seek(0)
            lines = [x for x in log.read().splitlines() if x.strip() and "interrupted;" not in x]
            if lines and lines not in said:
                said.append(lines)
                print("\n".join(lines), file=sys.stderr)
            log.close()

    def _listen(self, pipe: IO[str]) -> None:
        with pipe:
            for line in pipe:  # to the end in any case: a member must not meet a closed pipe
                with self.lock:
                    try:
                        self.hear(json.loads(line))
                    except Exception as error:
                        self.trouble = self.trouble or error


local = Local()
ENGINES: dict[str, Engine] = {"local": local}
