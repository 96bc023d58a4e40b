"""What int8 needs beside the package: an optional extra, and a torch that is new enough.

Both libraries warn and log of what is theirs to mend; `quiet` keeps that off the user's screen.
"""

import logging
import platform
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib import import_module
from io import StringIO
from typing import Any

import torch

LINE = 'pip install "iddl[int8]"    (or: pip install onnx onnxscript onnxruntime torchao)'
OLDEST = (2, 11)  # torchao's; torch.onnx of 2.6 cannot export a batch norm with today's onnxscript
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
X86 = ("x86_64", "AMD64", "i686")


def load(*names: str) -> list[Any]:
    """Return modules of the extra, or say how to get it.

    Raises:
        ImportError: one is not installed, or torch is too old; has the line to type.
    """
    if too_old():
        least = ".".join(map(str, OLDEST))
        raise ImportError(
            f"int8 needs torch {least} or newer, this is {torch.__version__}: torchao and "
            f'onnxscript no longer work with it; pip install "torch>={least}" torchvision'
        )
    try:
        with quiet():
            return [import_module(name) for name in names]
    except ImportError as error:
        raise ImportError(
            f"int8 is made by onnxruntime or torchao, an extra: {LINE} ({error})"
        ) from error


def missing() -> str:
    """Return why nets cannot be made int8 here, in words; nothing where they can."""
    try:
        load("onnx", "onnxscript", "onnxruntime.quantization", "torchao.quantization.pt2e")
    except ImportError as error:
        return str(error)
    return ""


def too_old() -> bool:
    """Return whether this torch is older than what the extra works with."""
    return tuple(int(part) for part in torch.__version__.split(".")[:2]) < OLDEST


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back warnings and logs below errors until the block ends."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextmanager
def silent() -> Iterator[None]:
    """Hold back what is printed, too: exporters show whole graphs before they give up."""
    with quiet(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        yield


def cause(error: BaseException) -> str:
    """Return in a line why a net could not be exported, and what to do where that is known."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in COLOUR.sub("", str(error)).splitlines() if line.strip()]
    if any(re.search("data.dependent|control.flow", line, re.IGNORECASE) for line in lines):
        return (
            "an `if` or a loop of its forward asks for the values of a tensor, and a graph has one "
            "way for all samples: compute both ways and choose by torch.where, or quantise a part "
            "of the net that has none"
        )
    return lines[0][:200] if lines else type(error).__name__


def overflows() -> bool:
    """Return whether 8 by 8 bits may overflow here: two products are added in 16 bits.

    That is so on x86 without VNNI, where weights get 7 bits.
    """
    vnni = getattr(torch.cpu, "_is_vnni_supported", lambda: False)
    return platform.machine() in X86 and not vnni()
