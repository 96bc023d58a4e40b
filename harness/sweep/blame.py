"""Says where in a study an error arose: its innermost line there, and the whole way in a file.

<arm>-<hash>/seed-<s>/traceback.txt      of a run that failed by an exception
"""

import traceback
from pathlib import Path
from typing import Any

from harness.record import store
from harness.record.rows import RowError

FILE = "traceback.txt"


def words(error: Exception, trainer: Any) -> str:
    """Return what a record says of an error: its kind, its text and its place in the study."""
    if isinstance(error, RowError):  # (about what came, not about a line)
        return str(error)
    return f"{type(error).__name__}: {error}{_place(error, trainer)}"


def _place(error: Exception, trainer: Any) -> str:
    """Return the last line of the study on the way, by its file's name within the study."""
    home = getattr(trainer, "__file__", None)
    if not home:
        return ""
    folder = Path(home).parent
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(folder)]
    if not own:
        return ""
    return f" ({Path(own[-1].filename).relative_to(folder).as_posix()}, line {own[-1].lineno})"


def keep(error: Exception, folder: Path) -> None:
    """Write the whole way of an error into the folder of its run."""
    store.write(folder / FILE, "".join(traceback.format_exception(error)))


def clear(folder: Path) -> None:
    """Take away what an earlier try has left."""
    (folder / FILE).unlink(missing_ok=True)
