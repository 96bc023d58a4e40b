"""Tells errors of a device in words: what was too large, or that what is done is kept."""

from collections.abc import Iterator
from contextlib import contextmanager

FULL = "out of memory", "can't allocate memory"
GONE = "CUDA error", "cuDNN error", "CUBLAS_STATUS"


@contextmanager
def told(what: str, remedy: str) -> Iterator[None]:
    """Turn what a device says inside the block into words that help.

    Args:
        what: The settings that matter, such as "batch_size=128, width 64".
        remedy: What to type where memory is short.

    Raises:
        MemoryError: the memory was not enough.
        RuntimeError: the card has failed or is gone; whatever else was raised, as it was.
    """
    try:
        yield
    except RuntimeError as error:  # torch.OutOfMemoryError is one
        text = str(error)
        if any(words in text for words in FULL):
            raise MemoryError(f"out of memory at {what}: {remedy}") from None
        if any(words in text for words in GONE):
            raise RuntimeError(
                f"the card failed or was taken away at {what} ({text.strip().splitlines()[0]}): "
                "the same command goes on from the last checkpoint"
            ) from error
        raise
