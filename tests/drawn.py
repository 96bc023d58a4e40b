"""How many examples hypothesis draws: a sample in `make test`, all of them in `make test-slow`."""

import os

from hypothesis import settings

ALL = os.environ.get("IDDL_EXAMPLES") == "all"
SAMPLE = 25


def examples(most: int, **options) -> settings:
    """Up to `most` examples, without a deadline: other processes may be busy."""
    return settings(max_examples=most if ALL else min(most, SAMPLE), deadline=None, **options)
