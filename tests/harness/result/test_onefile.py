"""What a page in one file holds of data."""

import json

import pytest

from harness.result import onefile


def test_no_text_ends_the_script_that_holds_it():
    held = onefile.data({"a": "</script><!--"})
    assert "<" not in held
    assert json.loads(held) == {"a": "</script><!--"}


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_a_number_that_json_has_no_word_for_is_refused(wrong):
    with pytest.raises(ValueError, match="not JSON compliant"):
        onefile.data([1.0, wrong])
