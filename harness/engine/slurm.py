"""Members as the tasks of one Slurm job array, in a results folder that all machines share.

    results/<study>/<plan>/.slurm/   job        id and size of the array
                                     script     what sbatch got
                                     <id>-<task>.{events,log,exit}

Every task is the same command once more. Slurm starts a task anew when its machine dies
(--requeue); the command resumes. States come from squeue, which works without accounting; what a
task told, and how it ended, stands in its files.
"""

import contextlib
import json
import shlex
import shutil
import subprocess
import time
from pathlib import Path

from harness.engine import guest
from harness.engine.protocol import (
    GRACE,
    Detached,
    Ear,
    Elsewhere,
    Hear,
    Members,
    last_words,
    say_once,
)
from harness.record import store

POLL, SILENT = 1.0, 600.0  # seconds between two looks, and until a dumb squeue is an error
SIGNALS = 128  # a shell's statuses above are signals
LOOKS = ("--detach", "--quiet", "--json", "--no-figures")  # words that say how to look on
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
            job = _Job.found(desk, members) or _Job.submit(
                desk, members, guest.driver("slurm", lock)
            )
            return _Watch(job, members, hear).run()


class _Job:
    """An array of tasks and the folder with its files."""

    def __init__(self, desk: Path, number: str, size: int):
        self.desk, self.number, self.size = desk, number, size

    @classmethod
    def found(cls, desk: Path, members: Members) -> "_Job | None":
        """Return the array that an earlier call has left at work.

        Raises:
            ValueError: that was another command, or other code.
        """
        if not (desk / "job").exists():
            return None
        found = store.read_json(desk / "job")
        job = cls(desk, found["job"], found["size"])
        if not job.states():
            return None
        for name, mine in _own(members).items():
            if found.get(name, mine) != mine:
                raise ValueError(
                    f"Slurm's job {job.number} is at work on this study with another {name}: "
                    f"{found[name]!r}, here it is {mine!r}. Type that command to look in on it, "
                    f"wait until it is over, or end it: scancel {job.number}"
                )
        return job

    @classmethod
    def submit(cls, desk: Path, members: Members, env: dict[str, str]) -> "_Job":
        """Submit one; its folder has the script."""
        store.write(desk / "script", script(desk, members, env))
        done = _ask(["sbatch", "--parsable", str(desk / "script")])
        if done.returncode:
            raise ValueError(f"sbatch refused {desk / 'script'}: {done.stderr.strip()}")
        job = cls(desk, done.stdout.strip().split(";")[0], members.size)
        facts = {"job": job.number, "size": job.size, **_own(members)}
        store.write(desk / "job", store.to_json(facts))
        return job

    def states(self) -> dict[str, str]:
        """Return the state of each task that Slurm still has to do with.

        Raises:
            OSError: squeue has not answered for ten minutes.
        """
        end = time.monotonic() + SILENT
        while True:
            done = _ask(["squeue", "-h", "-r", "-j", self.number, "-o", "%i %T"])
            if not done.returncode:
                return dict(line.split(maxsplit=1) for line in done.stdout.splitlines() if line)
            if "Invalid job id" in done.stderr:  # (it has been over for a while)
                return {}
            if time.monotonic() > end:
                raise OSError(f"squeue: {done.stderr.strip()}; job {self.number} may still run")
            time.sleep(POLL)

    def file(self, task: int, kind: str) -> Path:
        """Return a file of a task: events, log or exit."""
        return self.desk / f"{self.number}-{task}.{kind}"

    def news(self, task: int, start: int) -> bytes:
        """Return the whole lines that a task has told since."""
        path = self.file(task, "events")
        if not path.exists():
            return b""
        with open(path, "rb") as file:
            file.seek(start)
            found = file.read()
        return found[: found.rfind(b"\n") + 1]

    def text(self, task: int, kind: str) -> str:
        """Return what is in it."""
        path = self.file(task, kind)
        return path.read_text(errors="replace") if path.exists() else ""

    def cancel(self) -> None:
        """End all tasks in order; they write what they have in hand."""
        _ask(["scancel", self.number])
        end = time.monotonic() + GRACE
        while self.states() and time.monotonic() < end:
            time.sleep(POLL / 2)


class _Watch:
    """Hears the tasks of an array until none is left."""

    def __init__(self, job: _Job, members: Members, hear: Hear):
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
                _ask(["scancel", "--state=PENDING", self.job.number])
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

    def _end(self) -> int:
        worst, over = 0, self.members.over()
        for task, ear in enumerate(self.ears):
            code = self.job.text(task, "exit").strip()
            died = not code or int(code) > SIGNALS
            ear.closed(last_words(self.job.text(task, "log")) or "its machine was lost", died)
            worst = max(worst, 0 if over else int(code or 1))
        with contextlib.suppress(OSError):
            (self.job.desk / "job").unlink()
        return worst


def _own(members: Members) -> dict[str, str]:
    """Return what a call must have in common with the one whose job it looks in on."""
    code = ", ".join(f"{key} {value}" for key, value in guest.program().items())
    words = (word for word in members.argv[1:] if word not in LOOKS)
    return {"command": shlex.join(words), "code": code}


def script(desk: Path, members: Members, env: dict[str, str]) -> str:
    """Return the script of an array: the same command as a member, and how it ended."""
    needs, place, log = members.needs, members.place, str((desk / "%A-%a").resolve())
    asks = [
        f"--job-name=iddl --array=0-{members.size - 1} --requeue --open-mode=append",
        f"--output={shlex.quote(log + '.events')} --error={shlex.quote(log + '.log')}",
        f"--chdir={shlex.quote(str(Path.cwd()))} --nodes=1 --ntasks=1",
        f"--cpus-per-task={needs.cores}",
        f"--mem={round(needs.memory_gb * 1024)}M" if needs.memory_gb else "",
        f"--gpus-per-task={needs.gpus:g}" if needs.gpus else "",
        f"--partition={place.partition}" if place.partition else "",
        f"--time={place.time}" if place.time else "",
        place.slurm,
    ]
    exports = [f"export {k}={shlex.quote(v)}" for k, v in {**members.env, **env}.items()]
    end = f"{shlex.quote(str(desk.resolve()))}/$SLURM_ARRAY_JOB_ID-$SLURM_ARRAY_TASK_ID.exit"
    return "\n".join(
        [
            "#!/bin/sh",
            *(f"#SBATCH {ask}" for ask in asks if ask),
            *exports,
            "echo  # (ends a line that a machine lost)",
            f"{shlex.join(members.argv)} &",
            "child=$!",
            "trap 'kill -TERM $child' TERM INT",
            "wait $child; code=$?  # (which a signal interrupts)",
            "while kill -0 $child 2> /dev/null; do wait $child; code=$?; done",
            f"echo $code > {end}",
            "",
        ]
    )


def _ask(words: list[str]) -> subprocess.CompletedProcess[str]:
    """Run one of Slurm's programs, which answer within a minute or not at all."""
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(words, 1, "", str(error))
