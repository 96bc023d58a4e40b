"""The verb `verify`: every identity of every subject holds."""

import pytest

from compress import verify
from compress.identities.findings import SUBJECTS


@pytest.mark.parametrize("subject", SUBJECTS)
def test_all_identities_hold(subject):
    found = verify(subject)
    assert found.ok, found
    assert len(found) >= 5
    for each in found:
        assert each.subject == subject
        assert each.kind != "rounding" or 0 < each.bound <= 1e-9
