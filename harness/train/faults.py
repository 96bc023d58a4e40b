"""Tells errors of a device in words: what was too large, or that what is done is kept."""

from collections.abc import Iterator
from contextlib import contextmanager

FULL = "out of memory", "can't allocate memory", "ALLOC_FAILED"
OURS = {  # what comes again however often one tries
    "device-side assert": "an index or a label is outside of what it picks from: try --device cpu, "
    "where the error says which",
    "no kernel image": "this torch was not built for this card: install one that was",
}
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
        line = text.strip().partition("\n")[0]
        for words, meaning in OURS.items():
            if words in text:
                raise RuntimeError(f"{line} at {what}: {meaning}") from error
        if any(words in text for words in GONE):
            raise RuntimeError(
                f"the card failed or was taken away at {what} ({line}): "
                "the same command goes on from the last checkpoint"
            ) from error
        raise
