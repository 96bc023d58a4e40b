"""`quantize(net, calibration)` makes a net int8; `load_quantized(path)` reads one from its file.

how            made and run by                          needs
onnx_static    torch.onnx, onnxruntime                  samples
torchao        torch.export, torchao, oneDNN (x86)      samples
qat            the same, after more training            samples and their classes
"""

from importlib import import_module
from pathlib import Path
from typing import Any

from torch import nn

from compress.int8 import extras
from compress.int8.asked import ask
from compress.int8.quantized import Quantized
from harness.names import check

OVERFLOW = "it was made where 8 bits cannot overflow, and here they can: quantise again, here"
HOME = {
    "onnx_static": "compress.int8.onnx_static",
    "torchao": "compress.int8.pt2e",
    "qat": "compress.int8.qat",
}
ZIP = b"PK\x03\x04"


def quantize(
    net: nn.Module, calibration: Any, how: str = "onnx_static", **training: Any
) -> Quantized:
    """Return a net whose layers multiply 8-bit integers, and whose file is a quarter as large.

    Args:
        net: In evaluation, on the CPU, float32; it stays as it is. Sparse layers become dense, and
            all exits are computed: `.notes` says so.
        calibration: Some hundreds of samples as the net takes them, from which ranges come: x, or
            (x, y), or a list or DataLoader of such. `qat` needs y.
        how: "onnx_static", "torchao" or "qat".
        **training: Of "qat": epochs, lr, seed.

    Raises:
        ImportError: the extra is not installed; has the line to type.
        ValueError: says what cannot be made int8 and what to do.
    """
    check("how", how, HOME)
    if training and how != "qat":
        raise ValueError(f'{", ".join(training)}: only how="qat" trains, this is {how!r}')
    for name in training:
        check("option of qat", name, ("epochs", "lr", "seed"))
    asked = ask(net, calibration)
    return opened(import_module(HOME[how]).make(asked, how, **training))


def load_quantized(path: str | Path) -> Quantized:
    """Return the net in a file that `save` has written; it answers the same bits.

    Raises:
        FileNotFoundError: there is no such file.
        ImportError: the extra is not installed; has the line to type.
        ValueError: the file is damaged or of another kind.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}: quantize(net, x).save(path) writes one")
    try:
        return opened(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def opened(content: bytes) -> Quantized:
    """Return the net in the bytes of a file."""
    kind = "compress.int8.pt2e" if content.startswith(ZIP) else "compress.int8.onnx_static"
    net = import_module(kind).read(content)
    if net.facts.bits > 7 and extras.overflows():
        net.facts = net.facts._replace(notes=(*net.facts.notes, OVERFLOW))
    return net
