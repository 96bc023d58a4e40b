"""What goes to a process by pickle, so that one that cannot be opened there is told in words."""

from multiprocessing.reduction import ForkingPickler
from typing import Any


class Parcel:
    """Things, which the process at the other end asks for.

    They are packed within the start of the process, so that shared memory travels as it does there.
    """

    def __init__(self, things: Any):
        self.things, self.error = things, ""

    def __reduce__(self) -> Any:
        return _opened, (bytes(ForkingPickler.dumps(self.things)),)

    def get(self) -> Any:
        """What is in it.

        Raises:
            ValueError: this process does not know a class or function of it.
        """
        if self.error:
            raise ValueError(
                f"World.procs: a process cannot read model, loss, data or optimizer "
                f"({self.error}). It does not see what the script defines under `if __name__ == "
                "'__main__':`: define classes and functions above that line, or in a module"
            )
        return self.things


def _opened(packed: bytes) -> Parcel:
    found = Parcel(None)
    try:
        found.things = ForkingPickler.loads(packed)  # pyright: ignore (it is a function)
    except (AttributeError, ImportError) as error:
        found.error = str(error)
    return found
