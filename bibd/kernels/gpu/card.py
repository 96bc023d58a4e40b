"""What is asked of the card itself; tests put a processor in its place here."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import cache
from typing import Any

import torch

from bibd.kernels import modes
from bibd.kernels.gpu.fit import Card


class Full(Exception):
    """The memory of the card is full."""


REPLAYED = ", replayed"  # beside the name of a card
CALLS = 8  # in a row, as training makes them: the processor runs ahead of the card


def on_card(t: torch.Tensor) -> bool:
    """Return whether a tensor lies on an NVIDIA card."""
    return t.is_cuda and torch.version.hip is None


@cache
def card(device: torch.device) -> Card:
    """Return what forms have to know of a card."""
    found = torch.cuda.get_device_properties(device)
    shared = getattr(found, "shared_memory_per_block_optin", 48 * 1024)
    return Card(shared, found.multi_processor_count, (found.major, found.minor) >= (8, 0))


@cache
def name(device: torch.device) -> str:
    """Return the name under which times on this card are kept."""
    return torch.cuda.get_device_name(device)


def circumstances(device: torch.device, images: bool = False) -> str:
    """Return what decides the times of a call beside its own sizes: card, TF32, CUDA graphs."""
    fast = modes.tf32_of_images() if images else modes.tf32()
    return name(device) + ", tf32" * fast + REPLAYED * modes.is_replayed()


def current(t: torch.Tensor) -> Any:
    """Make the card of a tensor the current one for a while, where there are several."""
    return torch.cuda.device(t.device) if t.is_cuda else nullcontext()


def capturing() -> bool:
    """Return whether a CUDA graph is being captured, where nothing may wait or be built."""
    return torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()


def wait() -> None:
    """Wait until the current card has done all that it was asked for."""
    torch.cuda.synchronize()


def clock(call: Callable[[], Any]) -> float:
    """Return the seconds of a call among several: its launches or its arithmetic, as is longer.

    Of a call that a graph will replay, its arithmetic. One goes before that is not counted: Triton
    compiles in a first call, for seconds.

    Raises:
        Full: there is no memory for it now, which says nothing of its speed.
    """
    try:
        call()
        wait()
        calls = (recorded if modes.is_replayed() else looped)(call)
        start = time.perf_counter()
        calls()
        wait()
    except torch.OutOfMemoryError as error:
        raise Full(str(error)) from error
    return (time.perf_counter() - start) / CALLS


def looped(call: Callable[[], Any]) -> Callable[[], Any]:
    """Return CALLS calls one after the other."""

    def calls():
        for _ in range(CALLS):
            call()

    return calls


def recorded(call: Callable[[], Any]) -> Callable[[], Any]:
    """Return the replay of a graph of CALLS calls; the calls themselves if none can be recorded.

    It is recorded on a stream of the current card, as torch would take one of the card that it
    first captured on. A capture that fails may keep the generator of random numbers, which is
    given its state again, and leave its own stream the current one.
    """
    generator = torch.cuda.default_generators[torch.cuda.current_device()]
    graph, state, side = torch.cuda.CUDAGraph(), generator.clone_state(), torch.cuda.Stream()
    try:
        here = torch.cuda.stream(torch.cuda.current_stream())
        with here, torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local"):
            looped(call)()
        graph.replay()  # (the first one puts the graph on the card)
    except RuntimeError as error:  # (of which a full memory is one)
        generator.graphsafe_set_state(state)
        wait()
        if isinstance(error, torch.OutOfMemoryError):
            raise
        return looped(call)
    wait()
    return graph.replay


def refuse_capture() -> None:
    """Refuse to build a table in a CUDA graph.

    Raises:
        RuntimeError: with what to do.
    """
    if capturing():
        raise RuntimeError(
            "this CUDA graph meets a sparse layer that has no table on the card yet: call the "
            "layer once with such an input (forward, and backward if there is one), then capture"
        )
