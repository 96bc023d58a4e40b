"""Where nets are cut into stages: by hand, by counted work, by times, and where they cannot be."""

import itertools
import random

import pytest
import torch
from torch import nn

from parallel.pipeline import measure
from parallel.pipeline.count import BYTE, CALL, Work
from parallel.pipeline.cut import cut
from parallel.pipeline.measure import balanced, tried

X = torch.randn(6, 4)


def net(*layers):
    return nn.Sequential(
        *(layers or (nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 6), nn.Linear(6, 3)))
    )


class Twice(nn.Module):
    """Gives two tensors."""

    def forward(self, x):
        return x, x


class Sum(nn.Module):
    """Takes two."""

    def forward(self, pair):
        return pair[0] + pair[1]


def test_layers_go_to_stages_as_the_split_says():
    model = net()
    parts = cut(model, 3, (1, 3), X)
    assert [list(stage) for stage in parts.modules] == [
        [model[0]],
        [model[1], model[2]],
        [model[3]],
    ]
    assert (parts.split, parts.pieces) == ([1, 3], 4)


@pytest.mark.parametrize(
    "split", [[2, 1], [1, 1], [0, 2], [1, 4], [1], [1, 2, 3], [1.0, 2], "12", 2, [True, 2]]
)
def test_a_split_that_does_not_fit_is_refused_with_one_that_does(split):
    words = (
        r"expected 2 ascending numbers from 1 to 3 for 3 stages \(the net has 4 pieces\), "
        r"such as \[1, 3\]"
    )
    with pytest.raises(ValueError, match=words):
        cut(net(), 3, split, X)
    cut(net(), 3, [1, 3], X)


def test_more_stages_than_layers_are_refused():
    with pytest.raises(ValueError, match=r"5 stages for 4 layers: .* so take stages=4 or fewer"):
        cut(net(), 5, None, X)


def test_one_stage_needs_no_cut():
    """Not even a net that could be traced."""

    class Turns(nn.Linear):
        def forward(self, x):
            return super().forward(x) if x.sum() > 0 else x

    model = Turns(4, 4)
    assert list(cut(model, 1, None, X).modules[0]) == [model]


def test_a_cut_behind_several_tensors_is_refused_with_the_nearest_that_can_be():
    model = net(nn.Linear(4, 6), Twice(), Sum(), nn.Linear(6, 3))
    words = r"at 2 the net cannot be cut, as piece 1 \(Twice\) gives a tuple of 2, .* is 1 or 3"
    with pytest.raises(ValueError, match=words):
        cut(model, 2, [2], X)
    assert cut(model, 3, None, X).split == [1, 3]
    words = r"4 stages: the net can be cut at 2 places \(\[1, 3\]; .*so take stages=3 or fewer"
    with pytest.raises(ValueError, match=words):
        cut(model, 4, None, X)


def test_a_cut_between_tokens_and_their_embedding_is_refused():
    """Whole numbers have no gradient, and need none."""
    model = net(nn.Flatten(0, 1), nn.Embedding(9, 4), nn.Linear(4, 3))
    tokens = torch.arange(8).view(4, 2)
    with pytest.raises(ValueError, match=r"at 1 .* gives a tensor of torch.int64.* is 2"):
        cut(model, 2, [1], tokens)
    assert cut(model, 2, None, tokens).split == [2]


def test_pieces_that_do_not_fit_each_other_are_named():
    words = (
        r"piece 1 \(Linear\) cannot be given a tensor of torch.float32 of size \(6, 6\): Runtime"
    )
    with pytest.raises(ValueError, match=words):
        cut(net(nn.Linear(4, 6), nn.Linear(5, 3)), 2, [1], X)


def test_a_weight_of_two_stages_is_refused_by_both_names():
    tied = nn.Linear(6, 6)
    model = net(nn.Linear(4, 6), tied, nn.ReLU(), nn.Linear(6, 6))
    model[3].weight = tied.weight
    words = "1.weight and 3.weight are one tensor, in stages 0 and 1: cut the net so that both are"
    with pytest.raises(ValueError, match=words):
        cut(model, 2, [2], X)
    assert cut(model, 2, [1], X).split == [1]


def test_running_statistics_of_two_stages_are_refused():
    norm = nn.BatchNorm1d(6, affine=False)
    model = net(nn.Linear(4, 6), norm, nn.Linear(6, 6), norm, nn.Linear(6, 3))
    with pytest.raises(ValueError, match=r"1.running_mean and 3.running_mean are one tensor"):
        cut(model, 2, [2], X)


def test_trying_leaves_no_trace_in_the_net_or_in_torchs_noise():
    model = net(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(), nn.ReLU(inplace=True))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    x, noise = X.clone(), torch.get_rng_state()
    given, costs = tried(list(model), x, 3)
    assert given == [""] * 4
    assert min(costs) > 0
    assert torch.equal(x, X)
    assert torch.equal(noise, torch.get_rng_state())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("seed", range(20))
def test_the_dearest_stage_is_as_cheap_as_can_be(seed):
    """Against all cuts there are."""
    draw = random.Random(seed)
    costs = [draw.randint(1, 20) for _ in range(draw.randint(3, 9))]
    stages = draw.randint(1, len(costs) - 1)
    able = sorted(draw.sample(range(1, len(costs)), draw.randint(stages - 1, len(costs) - 1)))

    def dearest(split):
        ends = zip([0, *split], [*split, len(costs)], strict=True)
        return max(sum(costs[a:b]) for a, b in ends)

    found = balanced(costs, stages, able)
    assert set(found) <= set(able)
    assert len(found) == stages - 1
    every = itertools.combinations(able, stages - 1)
    assert dearest(found) == min(dearest(split) for split in every)
    assert dearest(balanced(costs, stages)) <= dearest(found)


def test_work_is_products_and_bytes_and_calls():
    """A product of 6 x 4 and 4 x 5: two operations for each of its 120 terms."""
    a, b = torch.randn(6, 4), torch.randn(4, 5)
    with Work() as work:
        a.view(24)
        a @ b
    assert work.total == 2 * 120 + BYTE * 4 * (24 + 20 + 30) + CALL


def test_who_does_not_say_where_gets_the_same_cut_at_any_time(monkeypatch):
    """No clock is looked at; the dearest stage is the wide one."""
    monkeypatch.setattr(measure, "_time", None)
    layers = [nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 900), nn.ReLU(), nn.Linear(900, 3)]
    costs = [tried(layers, X, 0)[1] for _ in range(3)]
    assert costs[0] == costs[1] == costs[2]
    assert max(costs[0]) == costs[0][2]
    assert cut(net(*layers), 3, None, X).split == balanced(costs[0], 3) == [2, 3]


def test_who_asks_for_times_gets_a_cut_by_them(monkeypatch):
    def time(piece, x):
        return 1.0 + 9 * isinstance(piece, nn.ReLU), piece(x)

    monkeypatch.setattr(measure, "_time", time)
    assert cut(net(), 3, "measured", X).split == [1, 2]
    with pytest.raises(ValueError, match=r"layer_split='mesured'.* or None, or"):
        cut(net(), 3, "mesured", X)


def test_all_ranks_cut_by_the_sum_of_their_costs():
    """Each sees its own, which differ where they are times."""
    asked = []

    def total(cost):
        asked.append(cost)
        return 10.0 if len(asked) == 1 else 1.0

    assert cut(net(), 2, "measured", X, total).split == [1]
    assert len(asked) == 4
