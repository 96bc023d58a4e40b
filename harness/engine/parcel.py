"""Carries one group of seeds to a machine that shares no folder with this one, and back.

There the same command trains it in a folder of its own. What comes back is bytes: what the command
tells, and each file when it has changed. Nothing of it is unpickled or run here, and no file lands
outside the folders of the group.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from harness.engine.protocol import GRACE
from harness.record import store
from harness.record.study import Study

Files = dict[str, bytes]
EVENT, ENDED = "event", "ended"  # what is no file: what the command told; that and how it ended
CHECKPOINTS = "*/group-*.pt"
KINDS = (CHECKPOINTS, "provenance/*.json", "*/seed-*/*")
SAFE = re.compile(r"[\w.+=-]*\w")


def pack(study: Study, arm: str, starts: Sequence[Path] = ()) -> Files:
    """Return the files that this arm goes on or starts from, by their names under the root."""
    found = [*study.arm_dir(arm).glob("group-*.pt"), *starts]
    return {path.relative_to(study.root).as_posix(): path.read_bytes() for path in found}


def work(argv: Sequence[str], env: Mapping[str, str], files: Files) -> Iterator[tuple[str, bytes]]:
    """Train a group here; yields what the command tells and the files that it leaves.

    A checkpoint comes before the next row after it, and all files of a group before its end is
    told: whoever has heard that has the record.
    """
    root = Path(tempfile.mkdtemp(prefix="iddl-"))
    sent = {}
    for name, content in files.items():
        store.write(root / name, content)
        sent[name] = (root / name).stat().st_mtime_ns
    with open(root / "log", "w+") as log:
        process = subprocess.Popen(
            [sys.executable, *argv, "--results", str(root)],
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, **env},
            start_new_session=True,
        )
        assert process.stdout
        try:
            for line in process.stdout:
                for kind in KINDS if json.loads(line)[0] == "end" else (CHECKPOINTS,):
                    yield from _news(root, kind, sent)
                yield EVENT, line
            code = process.wait(GRACE)
            for kind in KINDS:
                yield from _news(root, kind, sent)
            log.seek(0)
            yield ENDED, f"{code}\n{log.read()}".encode()
        finally:
            _end(process)
            process.stdout.close()
            shutil.rmtree(root, ignore_errors=True)


def _news(root: Path, pattern: str, sent: dict[str, int]) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a plan that have changed, and checkpoints that are gone as empty ones."""
    there = {}
    for path in sorted(root.glob(f"*/*/{pattern}")):
        if path.is_file() and not path.name.startswith("."):
            there[path.relative_to(root).as_posix()] = path
    for name, path in there.items():
        changed = path.stat().st_mtime_ns
        if sent.get(name) != changed:
            sent[name] = changed
            yield name, path.read_bytes()
    if pattern == CHECKPOINTS:
        for name in [x for x in sent if x not in there and Path(x).match(CHECKPOINTS)]:
            del sent[name]
            yield name, b""


def _end(process: subprocess.Popen) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def unpack(study: Study, arm: str, name: str, content: bytes) -> None:
    """Write a file that came back; an empty checkpoint is one that is no longer needed.

    Raises:
        ValueError: a name outside the folders of this arm.
    """
    path = study.root.joinpath(*name.split("/"))
    ours = (study.arm_dir(arm), study.home / "provenance")
    if not all(map(SAFE.fullmatch, name.split("/"))) or not any(x in path.parents for x in ours):
        raise ValueError(f"a member sent {name!r}, which is no file of {arm}: nothing was written")
    if content:
        store.write(path, content)
    else:
        path.unlink(missing_ok=True)
