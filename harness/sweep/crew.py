"""Several processes on one sweep, each with few threads: faster than one with many for small nets.

Every member is the same command once more. They share the work by claiming runs
(harness.record.store), so there is nothing to divide; they tell what they do as lines on stdout
(harness.sweep.show.Events).
A member whose parent has died cannot tell any more, and ends: nothing is left behind.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from typing import IO, Any

from harness.experiment import Run
from harness.job import Job
from harness.record.provenance import command
from harness.record.study import Study
from harness.sweep.show import Quiet

GRACE = 30.0  # seconds that members get to finish their writes after Ctrl-C


class Crew:
    """Runs a study as `size` processes with `threads` threads each."""

    def __init__(
        self, study: Study, size: int, threads: int, show: Quiet, live: Callable[[Any], None]
    ):
        self.study, self.size, self.show, self.live = study, size, show, live
        self.env = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        self.env |= {"IDDL_MEMBER": "1", "IDDL_JOBS": str(size), "IDDL_COMMAND": command()}
        self.env["IDDL_SINCE"] = str(time.time())
        self.trouble: BaseException | None = None
        self.lock = threading.Lock()
        self.running: dict[tuple[str, tuple[int, ...]], list[Run]] = {}

    def run(self, argv: Sequence[str]) -> int:
        """Wait for all members; the worst of their exit statuses.

        Raises:
            KeyboardInterrupt: after the members have ended.
        """
        logs = [tempfile.TemporaryFile("w+") for _ in range(self.size)]  # noqa: SIM115
        members = [self._start(argv, log) for log in logs]
        readers = [threading.Thread(target=self._listen, args=(m.stdout,)) for m in members]
        for reader in readers:
            reader.start()
        try:
            for member in members:
                member.wait()
        except BaseException:
            self._stop(members)
            raise
        finally:
            for reader in readers:
                reader.join(GRACE)
            self._repeat(logs)
        if self.trouble:
            raise self.trouble
        return max(m.returncode if m.returncode >= 0 else 1 for m in members)

    def _start(self, argv: Sequence[str], log: IO[str]) -> subprocess.Popen:
        # A session of its own: Ctrl-C reaches only the parent, which passes it on once.
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env=self.env,
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
                        self._event(*json.loads(line))
                    except Exception as error:
                        self.trouble = self.trouble or error

    def _event(self, kind: str, arm: str, seeds: list[int], *rest: Any) -> None:
        group = arm, tuple(seeds)
        if kind == "begin":
            epochs, done = rest
            self.running[group] = [self.study.new_run(arm, seed) for seed in seeds]
            self.show.begin(arm, seeds, epochs, Job(saved={"epochs": done}))
        elif kind == "rows":
            for run, row in zip(self.running[group], rest[0], strict=True):
                if row:  # (None: that seed has ended before the others)
                    run.rows.append(row)
            self.show.rows(arm, seeds, rest[0])
            self.live([run for runs in self.running.values() for run in runs])
        else:
            self.running.pop(group, None)
            self.show.end(arm, seeds, rest[0])


def crew_size(jobs: int, threads: int | None, cores: int, groups: int) -> int:
    """How many processes: as asked, or as many as the cores carry at this many threads each."""
    if jobs:
        return min(jobs, groups)
    return max(1, min(cores // threads, groups)) if threads else 1
