"""Writes files whole or not at all, and reads them without running anything that is in them.

results/<folder>/<plan>/                  experiment.{json,pkl}  report.html  figures
    <arm>-<hash>/seed-<s>/                config.json  metrics.jsonl  run.json
                                          (traceback.txt of one that failed)
    <arm>-<hash>/group-<seeds>.pt         checkpoint of the seeds that train side by side
"""

import fcntl
import io
import json
import os
import pickle
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.experiment import Experiment, Run, plain
from harness.record.unpickle import restricted_array, restricted_load, restricted_plain


def write(path: Path, content: bytes | str) -> Path:
    """Replace the file as a whole; after a failure the old content is still there.

    A link stays one, and the file that it leads to is replaced.

    Raises:
        OSError: says which file, and that nothing was lost.
        ValueError: a folder, a pipe or a device, which no file may take the place of.
    """
    data = content.encode() if isinstance(content, str) else content
    temporary, file = None, Path(os.path.realpath(path))
    if file.exists() and not file.is_file():
        sort = "a folder: name a file in it" if file.is_dir() else "no file, but a pipe or a device"
        raise ValueError(f"{path} is {sort}; nothing was written")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.parent / f".{file.name}.{os.getpid()}-{threading.get_ident()}"
        with open(temporary, "wb") as opened:
            opened.write(data)
            opened.flush()
            os.fsync(opened.fileno())
        with no_interrupt():
            os.replace(temporary, file)
    except OSError as error:
        if temporary:
            temporary.unlink(missing_ok=True)
        raise OSError(
            error.errno,
            f"could not write {path}: {error.strerror}. What was there before is intact; make room "
            "or choose another folder (of a study: --results DIR), then run the same command again",
        ) from None
    except BaseException:
        if temporary:
            temporary.unlink(missing_ok=True)
        raise
    return path


def foldered(path: str | Path) -> Path:
    """Return the path of a file that a user names, whose folder must be there.

    Raises:
        FileNotFoundError: it is not.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"no folder {path.parent}: make it first, or name another file")
    return path


@contextmanager
def no_interrupt() -> Iterator[None]:
    """Hold back Ctrl-C until the block ends (signals reach the main thread only)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pending = []
    before = signal.signal(signal.SIGINT, lambda *_: pending.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pending:
        raise KeyboardInterrupt


def to_json(value: Any) -> str:
    """Return a value of builtin types as compact JSON with a final newline."""
    return json.dumps(plain(value), separators=(",", ":"), allow_nan=False) + "\n"


def read_json(path: Path) -> Any:
    """Read a JSON file; an error names the file."""
    try:
        return json.loads(path.read_text())
    except (ValueError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path} is damaged ({error}): delete it, or restore it from git"
        ) from None


def save(experiment: Experiment, folder: Path) -> None:
    """Write experiment.json and the same record as experiment.pkl."""
    write(folder / "experiment.json", to_json(experiment.to_columns()))
    dump(experiment, folder / "experiment.pkl")


def dump(experiment: Experiment, path: Path) -> None:
    """Write the record as a pickle of builtin values and our two classes."""
    write(path, pickle.dumps(Experiment.from_dict(plain(experiment.to_dict())), protocol=4))


def dump_array(values: list[Any], path: Path) -> Path:
    """Pickle a list as a numpy array, as the original project kept its results."""
    import numpy as np

    return write(path, pickle.dumps(np.array(values), protocol=4))


def load_array(path: str | Path) -> list[Any]:
    """Read an array that dump_array or the original project wrote, by the allow-list.

    Raises:
        ValueError: a file that is damaged, hostile, or no array.
    """
    return restricted_array(io.BytesIO(Path(path).read_bytes()), str(path))


def dump_plain(value: Any, path: Path) -> Path:
    """Pickle builtin values, as the original project kept its ensembles' accuracies."""
    return write(path, pickle.dumps(value, protocol=4))


def load_plain(path: str | Path) -> Any:
    """Read builtin values that dump_plain or the original project wrote.

    Raises:
        ValueError: a file that is damaged, or that names anything but builtin values.
    """
    return restricted_plain(io.BytesIO(Path(path).read_bytes()), str(path))


def load(path: str | Path) -> Experiment:
    """Read a record from .json or from a pickle, by an allow-list of names.

    Raises:
        ValueError: a file that is damaged, hostile, or no record.
        FileNotFoundError: no such file.
    """
    path = Path(path)
    if path.suffix == ".json":
        return Experiment.from_dict(read_json(path), str(path))
    return restricted_load(io.BytesIO(path.read_bytes()), str(path))


def save_run(run: Run, folder: Path) -> None:
    """Write run.json, which makes this run count as done (or failed)."""
    write(folder / "run.json", to_json(asdict(run)))


def load_run(folder: Path) -> Run | None:
    """Return the finished run in this folder, or None."""
    path = folder / "run.json"
    return Run.from_dict(read_json(path), str(path)) if path.exists() else None


def append_row(folder: Path, row: dict[str, Any]) -> None:
    """Add one line to metrics.jsonl."""
    with open(folder / "metrics.jsonl", "ab") as file:
        file.write(to_json(row).encode())
        file.flush()
        os.fsync(file.fileno())


def check_config(folder: Path, config: dict[str, Any]) -> None:
    """Write config.json, or compare with the one that is there.

    Raises:
        ValueError: names the first field that differs under the same hash.
    """
    path = folder / "config.json"
    if not path.exists():
        write(path, to_json(config))
        return
    compare_config(read_json(path), config, str(folder))


def compare_config(stored: dict[str, Any], config: dict[str, Any], where: str) -> None:
    """Refuse two configs that share a folder but not every field.

    (A field that only one of them has is at its default there, or the folder would be another: the
    key of an arm hashes what differs from the defaults.)
    """
    for name in (name for name in stored if name in config):
        if stored[name] != config[name]:
            raise ValueError(
                f"{where} was made with {name}={stored[name]!r}, now it is {config[name]!r} (a "
                "default or the file changed): move it away and run the same command again"
            )


@contextmanager
def claim(folder: Path) -> Iterator[bool]:
    """Hold this run for this process while the block runs; False if another process has it.

    The kernel drops the lock when its holder ends, however it ends: nothing to clean up.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait for this lock file and hold it; for moments only (a few file writes)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        _wait_for(file, path)
        yield


def _wait_for(file, path: Path, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > end:
                raise TimeoutError(f"another process has held {path} for {seconds:.0f} s") from None
            time.sleep(0.05)
