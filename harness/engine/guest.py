"""What a member does before it claims anything where it may be on another machine.

It must be the same program as the driver, as records say which one trained them; and the lock that
the driver holds in the results folder must hold here too, or two machines would train one run. On
file systems that lock for each machine alone (NFS with nolock or local_lock, Lustre without flock)
a member gets that lock although the driver still beats.
"""

import contextlib
import fcntl
import itertools
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from harness.record import store
from harness.record.provenance import git_state, version_of

BEAT, PATIENCE = 1.0, 8.0  # seconds between two beats, and until silence means that nobody beats


class Refused(ValueError):
    """This member must not train here, or nobody may (`everywhere`); says why, and what to do."""

    everywhere = False


class Unlocked(Refused):
    """No lock holds between machines."""

    everywhere = True


def program() -> dict[str, str]:
    """Return what must be equal on all machines: package, commit and torch."""
    state = git_state()
    commit = f"{state['git']}{' changed ' + state['dirty'] if state['dirty'] else ''}"
    return {"iddl": version_of("iddl"), "commit": commit, "torch": version_of("torch")}


def driver(engine: str, lock: Path | None = None) -> dict[str, str]:
    """Return what the environment of a member says of its driver."""
    env = {"IDDL_ENGINE": engine, "IDDL_DRIVER": json.dumps(program())}
    return env | ({"IDDL_LOCK": str(lock)} if lock else {})


def enter(environ: Mapping[str, str] = os.environ) -> None:
    """Check this machine against the driver, as far as the environment tells of one.

    Raises:
        Refused: another version, or a lock that does not lock.
    """
    if text := environ.get("IDDL_DRIVER"):
        _compare(json.loads(text), program())
    if path := environ.get("IDDL_LOCK"):
        _try(Path(path))


def _compare(theirs: Mapping[str, str], mine: Mapping[str, str]) -> None:
    other = [f"{k} {mine.get(k)} (the driver: {v})" for k, v in theirs.items() if mine.get(k) != v]
    if other:
        raise Refused(
            f"{os.uname().nodename} has {', '.join(other)}: install the same there, so that the "
            "record says what trained; this member does not train"
        )


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold this lock and beat beside it while the block runs; members try to take it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    over, pulse = threading.Event(), path.with_suffix(".beat")
    with open(path, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"another process drives this study ({path} is locked): wait for it, or end it"
            ) from None
        store.write(pulse, "first")
        thread = threading.Thread(target=_beat, args=(pulse, over), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(BEAT + 1)
            pulse.unlink(missing_ok=True)


def _beat(pulse: Path, over: threading.Event) -> None:
    for count in itertools.count():
        with contextlib.suppress(OSError):  # (a full disk: no beat, no alarm)
            pulse.write_text(str(count))
        if over.wait(BEAT):
            return


def _try(path: Path) -> None:
    """Take the driver's lock, which must fail while the driver beats.

    No driver takes its lock away when it ends, so where there is none, this is another folder.
    """
    if not _there(path):
        raise Unlocked(
            f"{path.absolute()} is not on {os.uname().nodename}, so the results folder is not "
            f"shared with the driver's machine, and nobody would see what trains here: {ADVICE}"
        )
    try:
        with open(path, "r+") as file:  # (let go at once: another member may be trying)
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:  # as it should be
        return
    except OSError as error:
        raise Unlocked(f"{path} cannot be locked here ({error.strerror}): {ADVICE}") from None
    if _beats(path.with_suffix(".beat")):
        raise Unlocked(
            f"{os.uname().nodename} got the lock {path} while the driver holds it, so two machines "
            f"would train one run: {ADVICE}"
        )


def _there(path: Path) -> bool:
    """Return whether this file is here; a shared folder may show it late."""
    end = time.monotonic() + PATIENCE
    while not path.exists() and time.monotonic() < end:
        time.sleep(BEAT / 4)
    return path.exists()


ADVICE = (
    "mount the results folder so that locks hold between machines (NFS version 4 without nolock "
    "and local_lock; Lustre with -o flock), or use --engine ray, which needs no shared folder"
)


def _beats(pulse: Path) -> bool:
    """Return whether a driver is at work, which it is if its count goes on."""
    seen, end = set(), time.monotonic() + PATIENCE
    while len(seen) < 2 and time.monotonic() < end:
        try:
            seen.add(pulse.read_text())
        except OSError:  # there is no driver, or no longer
            return False
        seen.discard("")  # (read while it was written)
        time.sleep(BEAT / 4)
    return len(seen) == 2
