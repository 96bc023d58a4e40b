"""What int8 needs beside the package: an optional extra, and a torch that is new enough."""

import platform
from typing import Any

import torch

from bibd.onnx import extras
from bibd.onnx.extras import cause as cause
from bibd.onnx.extras import quiet as quiet
from bibd.onnx.extras import silent as silent
from bibd.onnx.extras import too_old as too_old

LINE = 'pip install "iddl[int8]"    (or: pip install onnx onnxscript onnxruntime torchao)'
X86 = ("x86_64", "AMD64", "i686")


def load(*names: str) -> list[Any]:
    """Return modules of the extra, or say how to get it.

    Raises:
        ImportError: one is not installed, or torch is too old; has the line to type.
    """
    return extras.load(*names, what="int8", by="onnxruntime or torchao", line=LINE)


def missing() -> str:
    """Return why nets cannot be made int8 here, in words; nothing where they can."""
    try:
        load("onnx", "onnxscript", "onnxruntime.quantization", "torchao.quantization.pt2e")
    except ImportError as error:
        return str(error)
    return ""


def overflows() -> bool:
    """Return whether 8 by 8 bits may overflow here: two products are added in 16 bits.

    That is so on x86 without VNNI, where weights get 7 bits.
    """
    vnni = getattr(torch.cpu, "_is_vnni_supported", lambda: False)
    return platform.machine() in X86 and not vnni()
