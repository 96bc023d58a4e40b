"""Members as processes on this machine."""

import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from typing import IO

from harness.engine.machine import cores_here, pick_device
from harness.engine.protocol import GRACE, Ear, Hear, Members, last_words, say_once


class Local:
    """Processes on this machine; a member whose parent has died cannot tell any more, and ends."""

    def device(self, name: str, gpus: float = 0) -> str:
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
        lock = threading.Lock()
        return _run([_Member(members, Ear(hear, lock)) for _ in range(members.size)])


class _Member:
    """A process, the thread that listens to it, and its log."""

    def __init__(self, members: Members, ear: Ear):
        self.ear = ear
        self.log: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115
        # A session of its own: Ctrl-C reaches only the parent, which passes it on once.
        self.process = subprocess.Popen(
            members.argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env={**os.environ, **members.env},
            text=True,
            start_new_session=True,
        )
        self.reader = threading.Thread(target=self._listen)
        self.reader.start()

    def _listen(self) -> None:
        assert self.process.stdout
        with self.process.stdout as pipe:
            for line in pipe:  # to the end in any case: a member must not meet a closed pipe
                self.ear.line(line)

    def words(self) -> str:
        """Return what the member has said on stderr."""
        self.log.seek(0)
        return self.log.read()

    def close(self) -> None:
        """Hear the rest, and say what was lost."""
        self.reader.join(GRACE)
        code = self.process.returncode or 0
        how = signal.Signals(-code).name if code < 0 else f"status {code}"
        said = last_words(self.words())
        self.ear.closed(said or f"its process ended with {how}", died=code < 0)


def _run(started: Sequence[_Member]) -> int:
    try:
        for member in started:
            member.process.wait()
    except BaseException:
        _stop([member.process for member in started])
        raise
    finally:
        for member in started:
            member.close()
        say_once([member.words() for member in started])
        for member in started:
            member.log.close()
    if trouble := next((m.ear.trouble for m in started if m.ear.trouble), None):
        raise trouble
    codes = [member.process.returncode for member in started]
    return max(code if code >= 0 else 1 for code in codes)


def _stop(processes: Sequence[subprocess.Popen]) -> None:
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
    for process in processes:
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
