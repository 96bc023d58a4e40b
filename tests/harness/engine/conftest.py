"""What every engine is held against."""

import pytest

from tests.harness.engine import study


@pytest.fixture(scope="session")
def expected(tmp_path_factory):
    """The small study as this machine alone trains it."""
    return study.local(tmp_path_factory.mktemp("local") / "results")
