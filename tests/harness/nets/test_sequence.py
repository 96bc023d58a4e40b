"""Nets of texts: an LSTM by its gates, a block by torch's own, what they refuse, what they cost."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from harness import cost
from harness.nets.sequence import MARKS, Block, Recurrent, Words, residual_lstm, transformer


def drawn(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_a_recurrent_stage_is_its_gates_a_projection_and_what_came_in():
    stage, x = Recurrent(4).double(), drawn(2, 5, 4)
    held = dict(stage.lstm.named_parameters())
    state = cell = torch.zeros(2, 4, dtype=torch.float64)
    expected = []
    for t in range(5):
        gates = x[:, t] @ held["weight_ih_l0"].T + held["bias_ih_l0"]
        gates = gates + state @ held["weight_hh_l0"].T + held["bias_hh_l0"]
        enter, forget, new, leave = gates.chunk(4, 1)
        cell = forget.sigmoid() * cell + enter.sigmoid() * new.tanh()
        state = leave.sigmoid() * cell.tanh()
        expected.append(x[:, t] + state @ stage.projection.weight.T + stage.projection.bias)
    torch.testing.assert_close(stage(x), torch.stack(expected, 1), rtol=1e-12, atol=1e-12)


def test_a_block_is_the_encoder_layer_of_torch():
    width, x = 8, drawn(3, 5, 8)
    block = Block(width, 0.5, 0).double().eval()
    other = nn.TransformerEncoderLayer(width, 4, width, 0.0, batch_first=True).double().train()
    held = {
        "self_attn.in_proj": block.read,
        "self_attn.out_proj.": block.write[0],
        "linear1.": block.forth[0],
        "linear2.": block.forth[2],
        "norm1.": block.norms[0],
        "norm2.": block.norms[1],
    }
    join = "self_attn.in_proj"
    state = {
        f"{k}_{n}" if k == join else f"{k}{n}": p
        for k, m in held.items()
        for n, p in m.named_parameters()
    }
    other.load_state_dict(state)
    torch.testing.assert_close(block(x), other(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("make", [residual_lstm, transformer])
def test_the_answer_is_a_linear_map_of_the_mean_over_time_padding_and_all(make):
    net = make(width=8, words=20).eval()
    x = torch.tensor([[5, 6, 7, 0, 0]])
    inner = net.stages[:-1](x)
    end = net.stages[-1].linear
    assert torch.equal(net(x), end(inner.mean(1)))
    assert not torch.equal(net(x), net(x[:, :3]))


def test_a_transformer_starts_small_but_for_its_words():
    net = transformer(64, 500)
    for name, p in net.named_parameters():
        if name.endswith("bias"):
            assert not p.any(), name
        elif "norms" not in name:
            expected = 1.0 if "words" in name else 0.01
            spread = float(p.detach().double().pow(2).mean().sqrt()) / expected
            assert abs(spread - 1) < 6 / (2 * p.numel()) ** 0.5, name  # six deviations of it


def test_numbers_of_parameters():
    words, w, length = 30, 8, 12
    table = (words + MARKS) * w
    lstm = 8 * w**2 + 8 * w + w**2 + w
    block = 6 * w**2 + 6 * w + 4 * w
    ends = 2 * w + 2
    nets = residual_lstm(w, words), transformer(w, words, length)
    counts = [sum(p.numel() for p in net.parameters()) for net in nets]
    assert counts == [table + 4 * lstm + ends, table + w**2 + w + length * w + 3 * block + ends]


@pytest.mark.parametrize("make", [residual_lstm, transformer])
def test_what_is_no_text_is_refused_in_words(make):
    net = make(width=8, words=20)
    for wrong in (torch.zeros(2, 5), torch.zeros(2, 5, 8, dtype=torch.int64)):
        with pytest.raises(
            ValueError, match=r"expected texts as whole numbers \(samples, length\)"
        ):
            net(wrong)
    net(torch.tensor([[0, 1, 21]]))
    with pytest.raises(
        ValueError, match="holds the number 22, but the net knows 2 marks and 20 words"
    ):
        net(torch.tensor([[0, 1, 22]]))


def test_a_text_longer_than_the_places_is_refused_and_a_shorter_one_is_read():
    net = transformer(8, 20, length=4)
    assert net(torch.zeros(2, 3, dtype=torch.int64)).shape == (2, 2)
    with pytest.raises(ValueError, match="texts of 5 words, but the net has 4 places"):
        net(torch.zeros(2, 5, dtype=torch.int64))


def test_the_order_of_words_matters_to_both():
    x = torch.tensor([[3, 4, 5, 6]])
    for net in (residual_lstm(8, 20).double(), transformer(8, 20, dropout=0.0).double()):
        assert not torch.allclose(net(x), net(x.flip(1)), rtol=0, atol=1e-10)


def test_costs_are_those_of_the_formulas():
    w, length = 8, 12
    lstm, former = residual_lstm(w, 20), transformer(w, 20, length)
    assert cost.total(lstm, (length,)).macs == length * 4 * 9 * w**2 + 2 * w
    blocks = 3 * (length * 6 * w**2 + 2 * length**2 * w)
    assert cost.total(former, (length,)).macs == length * w**2 + blocks + 2 * w
    assert cost.facts(lstm, (length,))["bytes"] == 4 * sum(p.numel() for p in lstm.parameters())
    assert cost.latency(former, (length,), 2, seconds=0.0) > 0


def test_the_linear_maps_of_a_transformer_are_counted_as_torch_counts_them():
    w, length = 8, 12
    net = transformer(w, 20, length).eval()
    with FlopCounterMode(display=False) as counter:
        net(torch.zeros(1, length, dtype=torch.int64))
    flops = counter.get_flop_counts()["Global"]
    linear = sum(n for op, n in flops.items() if "mm" in str(op) and "bmm" not in str(op))
    products = 3 * 2 * length**2 * w  # of places with places
    assert linear == 2 * (cost.total(net, (length,)).macs - products)


def test_the_first_part_is_a_table_with_rows_for_the_marks():
    table = Words(20, 4)
    assert table(torch.tensor([[0, 1, 2]])).shape == (1, 3, 4)
    assert table.num_embeddings == 22
