"""What the figures stand on: the card, its driver and clocks, the releases of torch and Triton."""

import platform
import subprocess
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from harness.record.provenance import collect

ASKED = "name,driver_version,clocks.sm,clocks.mem,clocks.max.sm,power.draw,temperature.gpu"


def checks(device: str, small: bool) -> list[tuple[str, Callable[[], dict[str, Any]]]]:
    """The one check of this part cannot fail for want of a card or of nvidia-smi."""
    return [("machine", lambda: describe(device))]


def describe(device: str) -> dict[str, Any]:
    """Provenance as in every record, and what only a card has."""
    found = {"provenance": collect(device), "python": platform.python_version()}
    found["triton"], found["cuda"] = _triton(), torch.version.cuda
    if device == "cpu":
        return found
    card = torch.cuda.get_device_properties(0)
    memory = round(card.total_memory / 2**30, 1)
    found["card"] = {"name": card.name, "GiB": memory, "sms": card.multi_processor_count}
    found["card"] |= {
        "capability": [card.major, card.minor],
        "bf16": torch.cuda.is_bf16_supported(),
    }
    found["cudnn"] = torch.backends.cudnn.version()
    return found | {"nvidia_smi": smi()}


def smi() -> dict[str, str] | str:
    """Driver and clocks as nvidia-smi tells them."""
    argv = ["nvidia-smi", f"--query-gpu={ASKED}", "--format=csv,noheader"]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return f"not known: {error}"
    values = done.stdout.splitlines()[0].split(", ")
    return dict(zip(ASKED.split(","), values, strict=False))


def _triton() -> str:
    try:
        return version("triton")
    except PackageNotFoundError:
        return "not installed"
