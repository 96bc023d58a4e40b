"""What a card is asked for around a step, by a stand-in that writes it down."""

import contextlib
import types
import warnings

import pytest
import torch

from harness.train import card


class Fake:
    """The part of torch.cuda that is used; `said` is what was asked, in order."""

    def __init__(self):
        self.said, self.mode = [], 0
        self.default_generators = [self]
        self.Stream = lambda device: Stream(self, "side")

    def clone_state(self):
        return "as it was"

    def graphsafe_set_state(self, state):
        self.said.append(f"random numbers {state}")

    def synchronize(self):
        self.said.append("synchronize")

    def current_stream(self, device):
        return Stream(self, "main")

    def current_device(self):
        return 0

    def get_sync_debug_mode(self):
        return self.mode

    def set_sync_debug_mode(self, mode):
        self.mode = mode

    def CUDAGraph(self):
        return types.SimpleNamespace(replay=lambda: self.said.append("replay"))

    @contextlib.contextmanager
    def graph(self, graph, stream):
        self.said.append(f"capture on {stream.name}")
        yield
        self.said.append("captured")

    def stream(self, stream):
        return contextlib.nullcontext()

    def device(self, device):
        return contextlib.nullcontext()


class Stream:
    """Says for whom it waits."""

    def __init__(self, fake, name):
        self.fake, self.name = fake, name

    def wait_stream(self, other):
        self.fake.said.append(f"{self.name} waits for {other.name}")


@pytest.fixture
def fake(monkeypatch):
    found = Fake()
    stand_in = types.SimpleNamespace(cuda=found, device=torch.device, Tensor=torch.Tensor)
    monkeypatch.setattr(card, "torch", stand_in)
    return found


def test_a_warm_up_is_on_a_side_stream_and_hears_where_it_waits(fake):
    with card.Card("cuda").warm() as complaints:
        assert fake.mode == "warn"
        fake.said.append("step")
        warnings.warn("called a synchronizing CUDA operation", stacklevel=1)
    assert fake.said == ["side waits for main", "step", "main waits for side"]
    assert fake.mode == 0
    (said,) = complaints
    assert said.startswith("it waits for the device at train/test_card.py:")
    with pytest.raises(KeyError), card.Card("cuda").warm():
        raise KeyError
    assert fake.mode == 0


def test_a_record_gives_the_place_of_the_result_and_the_replay(fake):
    found, replay = card.Card("cuda").record(lambda: fake.said.append("step") or "result")
    replay()
    assert (found, fake.said) == ("result", ["capture on side", "step", "captured", "replay"])


def test_a_capture_that_fails_leaves_the_random_numbers_as_they_were(fake):
    def fails():
        raise RuntimeError("not permitted")

    with pytest.raises(RuntimeError, match="not permitted"):
        card.Card("cuda").record(fails)
    assert fake.said == ["capture on side", "random numbers as it was", "synchronize"]


def test_waits_are_told_from_what_else_is_said():
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        warnings.warn("called a synchronizing CUDA operation", stacklevel=1)
        warnings.warn("Synchronization debug mode is a prototype feature", stacklevel=1)
        warnings.warn("of a user", stacklevel=1)
    with pytest.warns(UserWarning, match="of a user") as passed:
        (found,) = card.listen(heard)
    assert len(passed) == 1
    assert "test_card.py:" in found
