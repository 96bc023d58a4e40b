"""Limits calls that have no limit: those of torch's store, whose server may never answer."""

import threading
from collections.abc import Callable
from typing import Any


def within(seconds: float, call: Callable[..., Any], *args: Any) -> Any:
    """Return what the call returns, or raise what it raises; a slower one is left behind.

    Raises:
        TimeoutError: it has not returned after so many seconds.
    """
    found: list[Any] = []
    failed: list[BaseException] = []

    def work() -> None:
        try:
            found.append(call(*args))
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if failed:
        raise failed[0]
    if not found:
        raise TimeoutError(f"no answer within {seconds:g} s")
    return found[0]
