"""What a finished run leaves behind."""

import gc
import weakref

import pytest

from harness.engine import machine


class Node:
    """Holds itself, as a net with hooks does."""

    def __init__(self):
        self.me = self


@pytest.fixture
def lost():
    """A weak reference to what only a cycle holds, while Python looks for none by itself."""
    gc.collect()
    gc.disable()
    yield weakref.ref(Node())
    gc.enable()


def test_what_a_long_run_held_in_cycles_is_given_back(lost):
    machine.release("cpu", machine.LONG)
    assert lost() is None


def test_a_short_run_is_not_followed_by_a_search(lost):
    machine.release("cpu", machine.LONG / 2)
    assert lost() is not None
