"""Records calls on a CUDA card, and says what in them a graph could not do."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch


class Card:
    """Records on a CUDA card."""

    def __init__(self, device: str):
        self.device = torch.device(device)
        self.side = torch.cuda.Stream(self.device)

    @contextmanager
    def warm(self) -> Iterator[list[str]]:
        """Run a step on a side stream; yields a list that then has where it waited."""
        complaints: list[str] = []
        before = torch.cuda.get_sync_debug_mode()
        self.side.wait_stream(torch.cuda.current_stream(self.device))
        with warnings.catch_warnings(record=True) as heard, torch.cuda.stream(self.side):
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                yield complaints
            finally:
                torch.cuda.set_sync_debug_mode(before)
        torch.cuda.current_stream(self.device).wait_stream(self.side)
        complaints += listen(heard)

    def record(self, call: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, Callable[[], None]]:
        """Record a call, which does nothing yet; returns its result's place and how to replay it.

        A capture that fails may leave the generator of random numbers as a part of it for good, so
        that it is given a copy of its state then.
        """
        with torch.cuda.device(self.device):
            generator = torch.cuda.default_generators[torch.cuda.current_device()]
            graph, state = torch.cuda.CUDAGraph(), generator.clone_state()
            try:
                # (by itself torch would take a stream of the card that it first captured on)
                with torch.cuda.graph(graph, stream=self.side):
                    found = call()
            except BaseException:
                generator.graphsafe_set_state(state)
                torch.cuda.synchronize()
                raise
        return found, graph.replay


def listen(heard: list[warnings.WarningMessage]) -> list[str]:
    """Return where a step waited for the device, and pass on what else was said."""
    found = []
    for said in heard:
        text = str(said.message)
        if "called a synchronizing CUDA operation" in text:
            place = "/".join(Path(said.filename).parts[-2:])  # (a record travels, folders do not)
            found.append(f"it waits for the device at {place}:{said.lineno}")
        elif "Synchronization debug mode" not in text:  # (that this is a prototype)
            warnings.warn_explicit(said.message, said.category, said.filename, said.lineno)
    return found
