"""Nets whose connections move: when, how many, which, and that a training can be resumed."""

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from bibd import DynamicConv2d, DynamicLinear
from compress import Moving, verify
from compress.identities import masked
from compress.moving import choose, moving

X = torch.randn(32, 20, generator=torch.Generator().manual_seed(0))
Y = torch.arange(32) % 5


def net() -> nn.Sequential:
    torch.manual_seed(0)
    first = DynamicLinear(20, 16, "random_fan_in", seed=0, nonzeros=64)
    return nn.Sequential(first, nn.ReLU(), DynamicLinear(16, 5, "random", seed=1, nonzeros=30))


def opened(method: str = "rigl", **more):
    model = net()
    optimizer = torch.optim.AdamW(model.parameters(), 0.01)
    return model, optimizer, Moving(model, optimizer, method, **{"steps": 40, "every": 5} | more)


def train(model, optimizer, mover, steps: int) -> list[bool]:
    done = []
    for _ in range(steps):
        optimizer.zero_grad()
        with mover:
            F.cross_entropy(model(X), Y).backward()
        done.append(mover.step())
    return done


def digests(model) -> list[str]:
    return [m.pattern.digest() for m in model if isinstance(m, DynamicLinear)]


def test_an_optimizer_of_another_net_is_refused_at_once():
    with pytest.raises(ValueError, match=r"this SGD does not hold the layer's weight"):
        Moving(net(), torch.optim.SGD(net().parameters(), 0.1), steps=40)


def test_a_choice_that_takes_the_last_of_equals_is_found(monkeypatch):
    def other(scores, count):
        return np.sort(np.argsort(scores, kind="stable")[len(scores) - count :])

    monkeypatch.setattr("compress.identities.moving.largest", other)
    assert not verify("moving").ok


@given(
    seed=st.integers(0, 10**6),
    count=st.integers(1, 400),
    levels=st.sampled_from([2, 50, 10**9]),
    low=st.floats(0, 1),
)
def test_the_largest_of_many_are_those_of_a_stable_sort(seed, count, levels, low):
    """Also of few levels, where all are equal but some, and where many are taken (-inf)."""
    draw = np.random.default_rng(seed)
    scores = draw.integers(levels, size=3500).astype(np.float32)
    scores[draw.random(len(scores)) < low] = -np.inf
    scores[:400] = np.maximum(scores[:400], 0)  # (as many are free as can be asked for)
    expected = np.sort(np.lexsort((np.arange(len(scores)), -scores))[:count])
    assert (choose.largest(scores, count) == expected).all()


def test_memory_that_stays_behind_is_found(monkeypatch):
    monkeypatch.setattr("bibd.dynamic.carry", lambda *given: None)
    assert not verify("moving").ok


def test_a_twin_that_forgets_to_move_is_found(monkeypatch):
    monkeypatch.setattr(masked.Twin, "_change", lambda *given: None)
    assert not verify("moving").ok


def test_changes_come_every_so_many_steps_until_the_training_is_nearly_over():
    done = train(*opened(), 40)
    assert [t for t, moved in enumerate(done) if moved] == [5, 10, 15, 20, 25]  # (until step 30)


def test_the_share_that_moves_falls_along_half_a_cosine():
    *_, mover = opened(until=0.5, fraction=0.4)
    shares = []
    for t in (0, 5, 10, 15, 20, 39):
        mover.t = t
        shares.append(mover.share)
    half = [0.2 * (1 + math.cos(math.pi * t / 20)) for t in (0, 5, 10, 15, 20)]
    assert shares == pytest.approx([*half, 0], abs=1e-15)


def test_a_change_takes_the_place_of_an_update():
    model, optimizer, mover = opened()
    train(model, optimizer, mover, 5)
    biases = [m.bias.clone() for m in model if isinstance(m, DynamicLinear)]
    assert train(model, optimizer, mover, 1) == [True]
    assert all(
        torch.equal(old, m.bias) for old, m in zip(biases, [model[0], model[2]], strict=True)
    )
    assert optimizer.state[model[0].weight]["step"] == 5


@pytest.mark.parametrize("method", moving.METHODS)
def test_a_training_is_the_same_twice_and_learns(method):
    first, second = opened(method, steps=200), opened(method, steps=200)
    train(*first, 200)
    train(*second, 200)
    assert digests(first[0]) == digests(second[0]) != digests(net())
    assert torch.equal(first[0](X), second[0](X))
    assert (first[0](X).argmax(1) == Y).float().mean() > 0.5  # (guessing: .2)


@pytest.mark.parametrize("method", moving.METHODS)
def test_a_training_goes_on_from_a_checkpoint_bit_for_bit(method):
    whole = opened(method)
    train(*whole, 40)
    half = opened(method)
    train(*half, 18)
    rest = opened(method)
    for old, new in zip(half, rest, strict=True):
        new.load_state_dict(copy.deepcopy(old.state_dict()))
    train(*rest, 22)
    assert digests(whole[0]) == digests(rest[0])
    assert all(torch.equal(v, rest[0].state_dict()[k]) for k, v in whole[0].state_dict().items())


def test_a_state_of_other_changes_is_refused_and_one_that_knows_its_step_alone_is_taken():
    mover, state = opened("set")[2], opened("rigl", steps=50)[2].state_dict()
    with pytest.raises(
        ValueError, match=r"of method='rigl', steps=50, and .* with method='set', steps=40: make"
    ):
        mover.load_state_dict({**state, "step": 7})
    with pytest.raises(ValueError, match="no state of Moving, which has a 'step'; got nothing"):
        mover.load_state_dict({})
    assert mover.t == 0
    mover.load_state_dict({"step": 7})
    assert mover.t == 7


def test_what_grows_at_random_depends_on_the_seed():
    found = []
    for seed in (0, 1):
        model, optimizer, mover = opened("set", seed=seed)
        train(model, optimizer, mover, 6)
        found.append(digests(model))
    assert found[0] != found[1]


def test_a_full_layer_has_nowhere_to_go():
    torch.manual_seed(0)
    model = nn.Sequential(DynamicLinear(20, 5, "dense"))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    train(model, optimizer, Moving(model, optimizer, "rigl", steps=9, every=2), 9)
    assert model[0].pattern.nonzeros == 100


def test_convolutions_move_whole_kernels_to_where_gradients_are_large():
    torch.manual_seed(0)
    model = nn.Sequential(
        DynamicConv2d(3, 8, 3, padding=1, pattern="random", seed=0, nonzeros=10),
        nn.ReLU(),
        DynamicConv2d(8, 5, 3, pattern="random_fan_in", seed=0, nonzeros=20),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    mover = Moving(model, optimizer, "rigl_fan_in", steps=20, every=4)
    x, y = torch.randn(8, 3, 6, 6), torch.arange(8) % 5
    for t in range(20):
        optimizer.zero_grad()
        with mover:
            F.cross_entropy(model(x), y).backward()
        fans = [m.pattern.fan_in.tolist() for m in (model[0], model[2])]
        before = model[0].pattern.digest()
        assert mover.step() == (t in (4, 8, 12))
        assert fans == [m.pattern.fan_in.tolist() for m in (model[0], model[2])]
        assert (before != model[0].pattern.digest()) == (t in (4, 8))  # (at 12 too few for one)


def test_rows_that_cannot_grow_as_many_as_they_would_lose_lose_fewer():
    sizes, rows = np.array([1.0, 2, 3, 4, 5]), np.array([0, 0, 0, 1, 1])
    drop = choose.smallest(sizes, 4)
    kept = choose.at_most_by_row(drop, rows, sizes, np.array([1, 2]))
    assert kept.tolist() == [0, 3]


@pytest.mark.parametrize("count", [0, 1, 3, 20])
def test_each_free_place_is_as_likely_as_the_others(count):
    """Over 2,000 draws: within 6 standard deviations of a binomial count, for all 80 places."""
    free, hits = np.arange(80) * 3, np.zeros(240)
    taken = np.ones(240, bool)
    taken[free] = False
    draw = torch.Generator().manual_seed(0)
    for _ in range(2000):
        found = choose.at_random(taken, count, draw)
        assert len(set(found)) == count
        hits[found] += 1
    p = count / 80
    assert (np.abs(hits[free] - 2000 * p) <= 6 * np.sqrt(2000 * p * (1 - p)) + 1e-9).all()


def outside():
    model, optimizer, mover = opened()
    train(model, optimizer, mover, 5)
    mover.step()


WRONG = {
    "did you mean 'rigl'": lambda: opened("rigle"),
    "no layer whose connections may change": lambda: Moving(
        nn.Linear(2, 2), torch.optim.SGD(net().parameters(), 0.1), steps=9
    ),
    "every must be a whole number of at least 1, got 0": lambda: opened(every=0),
    r"until must be in \(0, 1\], got 1.5": lambda: opened(until=1.5),
    "has no dense gradient in this step: put": outside,
    r"before step 75, and every=100 .* take every=7, for": lambda: opened(steps=100, every=100),
    "take a longer training": lambda: opened(steps=1, every=1),
}


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_input_is_answered_in_words(text):
    with pytest.raises(ValueError, match=text):
        WRONG[text]()


def test_an_error_inside_leaves_no_hook_behind():
    model, optimizer, mover = opened()
    train(model, optimizer, mover, 5)
    with pytest.raises(RuntimeError, match="lost"), mover:
        raise RuntimeError("lost")
    assert not any(m._forward_hooks for m in model)


@pytest.mark.parametrize("method", ["set", "rigl", "rigl_fan_in"])
def test_connections_of_a_compiled_net_move_as_those_of_a_plain_one(method):
    plain, compiled = opened(method), opened(method)
    train(*plain, 20)
    model, optimizer, mover = compiled
    train(torch.compile(model, backend="eager"), optimizer, mover, 20)
    assert digests(model) == digests(plain[0])
    for p, q in zip(model.parameters(), plain[0].parameters(), strict=True):
        torch.testing.assert_close(p, q)


def test_two_layers_with_one_weight_cannot_move():
    a, b = (DynamicLinear(8, 8, "random", seed=0, nonzeros=20) for _ in range(2))
    b.weight = a.weight
    model = nn.Sequential(a, b)
    with pytest.raises(ValueError, match="0 and 1 hold one and the same weight"):
        Moving(model, torch.optim.SGD(model.parameters(), 0.1), steps=9)


def test_no_optimizer_is_said_at_once():
    with pytest.raises(ValueError, match="optimizer= is what trains the net, got a NoneType"):
        Moving(net(), None, "set", steps=40)
