"""What a machine has for those who train on it: cores, and a device by name."""

import os

LONG = 5.0  # seconds of a run after which its memory is looked for


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


def release(device: str, seconds: float = LONG) -> None:
    """Give the memory back that a finished run held in cycles of references.

    Python frees those in its own time, and the next run of this process needs the room before: 27
    trainings of a ResNet on a CPU kept 5 GB so. A tenth of a second is too much after a short run.

    Args:
        device: Where the run was.
        seconds: How long it took.
    """
    if device == "cpu" and seconds < LONG:
        return
    import gc

    gc.collect()
    if device != "cpu":
        import torch

        torch.cuda.empty_cache()
