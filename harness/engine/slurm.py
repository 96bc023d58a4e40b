"""Members as the tasks of one Slurm job array, in a results folder that all machines share.

Every task is the same command once more. Slurm starts a task anew when its machine dies
(--requeue); the command resumes. See harness.engine.slurm_job for the array and its files.
"""

import contextlib
import json
import shutil
import sys
import time

from harness.engine import guest
from harness.engine.protocol import (
    Detached,
    Ear,
    Elsewhere,
    Hear,
    Members,
    last_words,
    say_once,
)
from harness.engine.slurm_job import POLL, Job

SIGNALS = 128  # a shell's statuses above are signals
TOLD = ("130", "143")  # of a task that scancel or its time limit has ended in order
LARGEST = 1000  # tasks of an array (MaxArraySize is 1001 unless somebody has set it)


class Slurm(Elsewhere):
    """One array of a Slurm cluster; `--jobs` says how many tasks it has."""

    def share(self, jobs: int, threads: int | None, groups: int) -> tuple[int, int]:
        """Return as many tasks as were asked for, or one for each training."""
        return min(jobs or groups, groups, LARGEST), threads or 1

    def __call__(self, members: Members, hear: Hear) -> int:
        """Submit the array, or look in on the one that is there, and hear it to its end."""
        if not shutil.which("sbatch"):
            raise FileNotFoundError(
                "--engine slurm: no sbatch on this machine; type the command where you submit jobs "
                "(a login node), or --engine local"
            )
        assert members.study
        desk = members.study.out / ".slurm"
        lock = desk / "driver.lock"
        with guest.held(lock):
            job = Job.found(desk, members) or Job.submit(desk, members, guest.driver("slurm", lock))
            return _Watch(job, members, hear).run()


class _Watch:
    """Hears the tasks of an array until none is left."""

    def __init__(self, job: Job, members: Members, hear: Hear):
        self.job, self.members = job, members
        self.ears = [Ear(hear) for _ in range(job.size)]
        self.read = [0] * job.size

    def run(self) -> int:
        try:
            self._follow()
        except Detached:
            raise
        except BaseException:
            self.job.cancel()
            self._listen()
            raise
        finally:
            say_once([self.job.text(task, "log") for task in range(self.job.size)])
        return self._end()

    def _follow(self) -> None:
        states = self.job.states()
        while states:
            self._listen()
            if self.members.place.detach and any(self.read):
                raise Detached(
                    f"Slurm's job {self.job.number} goes on; the same command looks in on it, "
                    f"scancel {self.job.number} ends it"
                )
            if self.members.over():  # (tasks that wait for a place would find nothing to do)
                self.job.cancel_those_that_wait()
            time.sleep(POLL)
            states = self.job.states()
        self._wait_for_files()
        self._listen()

    def _wait_for_files(self) -> None:
        """Give a shared folder time to show what tasks wrote last on other machines."""
        end = time.monotonic() + 10 * POLL
        while time.monotonic() < end and not self.members.over():
            if all(self.job.file(task, "exit").exists() for task in range(self.job.size)):
                return
            time.sleep(POLL / 2)

    def _listen(self) -> None:
        for task, ear in enumerate(self.ears):
            news = self.job.news(task, self.read[task])
            self.read[task] += len(news)
            for line in news.decode(errors="replace").splitlines():
                with contextlib.suppress(ValueError):  # (cut off where a machine was lost)
                    json.loads(line)
                    ear.line(line)
            if ear.trouble:
                raise ear.trouble

    def _say_who_left_no_word(self) -> None:
        """Say where to look, as such a task has died before its command or writes elsewhere."""
        job, begun = self.job, self.read  # (the script tells an empty line before all else)
        silent = [k for k in range(job.size) if not begun[k] and not self._kept(k)]
        if silent:
            others = f", nor did {len(silent) - 1} more" * (len(silent) > 1)
            print(
                f"task {silent[0]} of Slurm's job {job.number} left no word in {job.desk}{others}: "
                "is that folder on its machine too? `scontrol show job "
                f"{job.number}_{silent[0]}` says how it ended",
                file=sys.stderr,
            )

    def _kept(self, task: int) -> str:
        return self.job.text(task, "exit") + self.job.text(task, "log")

    def _end(self) -> int:
        worst, over = 0, self.members.over()
        if not over:  # (tasks that waited when all was done have nothing to say)
            self._say_who_left_no_word()
        for task, ear in enumerate(self.ears):
            code = self.job.text(task, "exit").strip()
            died = not code or int(code) > SIGNALS
            if ear.group or (self.read[task] and code not in TOLD):  # (else more will not help)
                ear.closed(last_words(self.job.text(task, "log")) or "its machine was lost", died)
            worst = max(worst, 0 if over else int(code or 1))
        with contextlib.suppress(OSError):
            (self.job.desk / "job").unlink()
        return worst
