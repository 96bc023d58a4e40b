"""Processes of these tests come from a fork server that has loaded what nearly all of them use."""

import pytest

from parallel.world import procs

# (else each rank of each test would load them)
USED = ("pytest", "hypothesis", "harness.data", "parallel.identities.pipelines", "parallel.trainer")


@pytest.fixture(scope="session", autouse=True)
def _loaded_once():
    """Loads more than the module of the first task, which is another test's from then on."""
    before = procs.preloaded
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(procs, "preloaded", lambda task: [*before(task), *USED])
        yield
