"""How float32 is multiplied on a card: by a config's word, and as before afterwards."""

import pytest
import torch

from harness.train import arithmetic
from harness.train.arithmetic import float32


def flags():
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize(("fast", "word"), [(False, "in full"), (True, "TF32")])
def test_products_and_convolutions_go_one_way_and_the_record_says_which(fast, word):
    before = flags()
    with float32(fast, "cuda:0"):
        assert flags() == (fast, fast)
    assert flags() == before
    with pytest.raises(KeyError), float32(fast, "cuda:0"):
        raise KeyError
    assert flags() == before
    assert arithmetic.taken() == {"float32": word}
    assert arithmetic.taken() == {}


def test_a_processor_is_left_alone():
    before = flags()
    with float32(not before[0], "cpu"):
        assert flags() == before
    assert arithmetic.taken() == {}
