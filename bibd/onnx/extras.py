"""What ONNX needs beside the package: an optional extra, and a torch that is new enough.

The exporter warns and logs of what is its own to mend; `quiet` keeps that off the user's screen.
"""

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib import import_module
from io import StringIO
from typing import Any

import torch

LINE = 'pip install "iddl[onnx]"    (or: pip install onnx onnxscript onnxruntime)'
OLDEST = (2, 11)  # torch.onnx of 2.6 cannot export a batch norm with today's onnxscript
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def load(*names: str, what: str = "ONNX", by: str = "onnxscript", line: str = LINE) -> list[Any]:
    """Return modules of an extra, or say how to get it.

    Raises:
        ImportError: one is not installed, or torch is too old; has the line to type.
    """
    if too_old():
        least = ".".join(map(str, OLDEST))
        raise ImportError(
            f"{what} needs torch {least} or newer, this is {torch.__version__}: {by} no longer "
            f'works with it; pip install "torch>={least}" torchvision'
        )
    try:
        with quiet():
            return [import_module(name) for name in names]
    except ImportError as error:
        raise ImportError(f"{what} is made by {by}, an extra: {line} ({error})") from error


def missing() -> str:
    """Return why no file in ONNX can be made and run here; nothing where they can."""
    try:
        load("onnx", "onnxscript", "onnxruntime")
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
            "way for all samples: compute both ways and choose by torch.where, or take a part "
            "of the net that has none"
        )
    return lines[0][:200] if lines else type(error).__name__


def session(content: bytes, threads: int = 1) -> Any:
    """Return what runs a model on the CPU.

    Raises:
        ValueError: onnxruntime does not take it.
    """
    (ort,) = load("onnxruntime")
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    try:
        return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ValueError(f"onnxruntime does not take it ({first_line(error)})") from None


def first_line(error: Exception) -> str:
    """Return the line of an exporter's error that says most."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__
