"""One job array of Slurm: the script of its tasks, their states, and the files that they leave.

    results/<study>/<plan>/.slurm/   job        id and size of the array
                                     script     what sbatch got
                                     <id>-<task>.{events,log,exit}

States come from squeue, which works without accounting; what a task told, and how it ended, stands
in its files.
"""

import shlex
import subprocess
import time
from pathlib import Path

from harness.engine import guest
from harness.engine.protocol import GRACE, Members
from harness.record import store

POLL, SILENT = 1.0, 600.0  # seconds between two looks, and until a dumb squeue is an error
LOOKS = ("--detach", "--quiet", "--json", "--no-figures")  # words that say how to look on


class Job:
    """An array of tasks and the folder with its files."""

    def __init__(self, desk: Path, number: str, size: int):
        self.desk, self.number, self.size = desk, number, size

    @classmethod
    def found(cls, desk: Path, members: Members) -> "Job | None":
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
    def submit(cls, desk: Path, members: Members, env: dict[str, str]) -> "Job":
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

    def cancel_those_that_wait(self) -> None:
        """End the tasks that have no place yet."""
        _ask(["scancel", "--state=PENDING", self.number])

    def cancel(self) -> None:
        """End all tasks in order; they write what they have in hand."""
        _ask(["scancel", self.number])
        end = time.monotonic() + GRACE
        while self.states() and time.monotonic() < end:
            time.sleep(POLL / 2)


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
