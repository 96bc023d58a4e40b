"""What a machine has for those who train on it: cores, and a device by name."""

import os


def cores_here() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def pick_device(name: str) -> str:
    """Return the device of this name; "auto" is a GPU where there is one."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"--device got {name!r}; expected auto, cpu, cuda or cuda:N") from None
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"--device got {name!r}; expected auto, cpu, cuda or cuda:N")
    if device.type == "cpu":
        return "cpu"  # (cpu:0 is the same)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"--device {name}: this machine has {torch.cuda.device_count()} CUDA GPUs")
    return name


def release(device: str) -> None:
    """Give a GPU's memory back that a finished run held in cycles of references.

    Python frees those in its own time, and the next run of this process needs the room before.
    """
    if device == "cpu":
        return
    import gc

    import torch

    gc.collect()
    torch.cuda.empty_cache()
