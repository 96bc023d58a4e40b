"""Times of a column have one unit that fits and equal digits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.result import times


@pytest.mark.parametrize(
    ("seconds", "unit", "texts"),
    [
        ([0.0531, 0.124], "ms", ["53.1", "124.0"]),
        ([0.000236, 0.0017], "us", ["236", "1,700"]),
        ([12.3456, 2000.0], "s", ["12.3", "2,000.0"]),
        ([0.0, 0.002], "ms", ["0.00", "2.00"]),
        ([3e-12], "ns", ["0.00300"]),
        ([0.0], "s", ["0.00"]),
        ([float("nan"), 0.002], "ms", ["nan", "2.00"]),
        ([float("inf")], "s", ["inf"]),
        ([], "s", []),
    ],
)
def test_columns_of_times(seconds, unit, texts):
    assert times.fitting(seconds) == (unit, texts)


@given(st.lists(st.floats(1e-9, 1e6), min_size=1))
def test_each_text_is_the_time_and_the_least_has_three_digits(seconds):
    unit, texts = times.fitting(seconds)
    assert len({len(text.partition(".")[2]) for text in texts}) == 1
    least = min(seconds) * times.UNITS[unit]
    step = 10.0 ** -len(texts[0].partition(".")[2])
    assert step <= least / 100 * (1 + 1e-12)
    for value, text in zip(seconds, texts, strict=True):
        told = float(text.replace(",", ""))
        assert abs(told - value * times.UNITS[unit]) <= step / 2 * (1 + 1e-9) + 1e-12 * told
