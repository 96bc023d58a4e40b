"""Which weights stay: counts, ties, scopes, and what is refused in words."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

import compress
from bibd import BibdLinear
from compress.pruning import choose, densities
from compress.pruning.prune import SCOPES
from compress.pruning.scores import SCORES
from tests.compress.pruning.nets import conv, mlp, samples


@pytest.mark.filterwarnings("ignore::compress.pruning.prune.KeptOne")
@pytest.mark.parametrize("scope", ["global", "layer", "erk"])
@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("make", [mlp, conv])
@pytest.mark.parametrize("density", [0.21])
def test_every_score_in_every_scope_keeps_the_share_and_leaves_the_net_alone(
    make, score, scope, density
):
    net = make()
    before, flags = copy.deepcopy(net.state_dict()), [p.requires_grad for p in net.parameters()]
    if (score, scope) == ("wanda", "global"):
        with pytest.raises(ValueError, match=r"no order for those of different layers"):
            compress.prune(net, density, score, scope, data=samples(net))
        return
    masks = compress.prune(net, density, score, scope, data=samples(net))
    layers = len(masks)
    assert abs(masks.kept - density * masks.of) <= (0.5 if scope != "layer" else 0.5 * layers)
    assert all(mask.any() for mask in masks.values())
    assert list(masks) == [n for n, p in net.named_parameters() if p.ndim > 1]
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert flags == [p.requires_grad for p in net.parameters()]
    assert all(p.grad is None for p in net.parameters())


def test_magnitude_keeps_the_largest_of_all_layers():
    net = mlp()
    masks = compress.prune(net, 0.3)
    kept = torch.cat([net.get_parameter(n).abs()[m] for n, m in masks.items()])
    gone = torch.cat([net.get_parameter(n).abs()[~m] for n, m in masks.items()])
    assert kept.min() > gone.max()


def test_equal_weights_stay_by_their_place():
    net = nn.Sequential(nn.Linear(4, 2), nn.Linear(2, 2))
    for p in net.parameters():
        nn.init.ones_(p)
    with pytest.warns(compress.KeptOne, match=r"^1 would"):
        masks = compress.prune(net, 0.5)
    assert masks["0.weight"].flatten().tolist() == [True] * 5 + [False] * 3
    assert masks["1.weight"].flatten().tolist() == [True] + [False] * 3
    rows = compress.prune(net, 0.5, "wanda", data=torch.ones(1, 4))
    assert rows["0.weight"].tolist() == [[True, True, False, False]] * 2


def test_density_1_keeps_everything():
    masks = compress.prune(mlp(), 1)
    assert masks.density == 1
    assert masks.kept == masks.of


def test_a_layer_that_would_be_left_empty_keeps_its_best_weight_and_that_is_said():
    net = mlp()
    with torch.no_grad():
        net[2].weight.mul_(1e-6)
    with pytest.warns(compress.KeptOne, match=r"^2 would be left without a weight at 0.1"):
        masks = compress.prune(net, 0.1)
    assert masks.counts["2.weight"] == 1
    assert masks["2.weight"].flatten()[net[2].weight.abs().argmax()]
    assert masks.kept == round(0.1 * masks.of)
    assert "2 would be left without a weight" in str(masks)


def test_fewer_weights_than_layers_are_as_many_as_layers():
    scores = {n: torch.tensor([v, 0.0]) for n, v in {"a": 3.0, "b": 2.0, "c": 1.0}.items()}
    masks, saved = choose.globally(scores, 1)
    assert [m.tolist() for m in masks.values()] == [[True, False]] * 3
    assert saved == ["b", "c"]


def test_the_share_of_each_layer_can_be_named():
    net = mlp()
    masks = compress.prune(net, {"0": 0.08, "2.weight": 0.5})
    assert masks.counts == {"0.weight": 9, "2.weight": 32, "4.weight": 21}
    with pytest.raises(ValueError, match=r"unknown layer with a density 'fc': .*there are 0, 2, 4"):
        compress.prune(net, {"fc": 0.1})
    with pytest.raises(ValueError, match=r"leaves nothing to scope='erk'"):
        compress.prune(net, {"0": 0.1}, scope="erk")


def test_what_is_out_stays_out_within_masks():
    net = mlp()
    first = compress.prune(net, 0.5, "random", seed=3)
    second = compress.prune(net, 0.2, within=first)
    assert all((mask & ~first[name]).sum() == 0 for name, mask in second.items())
    assert second.kept == round(0.2 * second.of)
    with pytest.warns(UserWarning, match=r"fewer than asked for: `within` had left them out"):
        third = compress.prune(net, 0.9, within=first)
    assert third.counts == first.counts


def test_random_masks_follow_the_seed():
    a, b, c = (compress.prune(mlp(), 0.5, "random", seed=s) for s in (1, 1, 2))
    assert all(torch.equal(a[n], b[n]) for n in a)
    assert any(not torch.equal(a[n], c[n]) for n in a)


@pytest.mark.parametrize(
    ("density", "says"),
    [(0, "a net without weights says nothing"), (-0.1, r"in \(0, 1\], got -0.1"), (5, "for 5 percent say 0.05"),
     (math.nan, "got nan"), (math.inf, "got inf"), ("half", "got 'half'"), (True, "got True")],
)  # fmt: skip
def test_a_density_out_of_range_is_refused(density, says):
    with pytest.raises(ValueError, match=says):
        compress.prune(mlp(), density)


def test_names_that_do_not_exist_are_answered():
    net = mlp()
    for wrong, says in {
        "score": "unknown score 'magnitud': did you mean 'magnitude'",
        "scope": "unknown scope 'magnitud': .*there are global, layer, erk",
    }.items():
        with pytest.raises(ValueError, match=says):
            compress.prune(net, 0.5, **{wrong: "magnitud"})
    with pytest.raises(ValueError, match=r"unknown layer to exclude '9': .*there are 0, 2, 4"):
        compress.prune(net, 0.5, exclude="9")
    with pytest.raises(ValueError, match=r"rounds is a whole number of at least 1, got 0"):
        compress.prune(net, 0.5, rounds=0)
    with pytest.raises(ValueError, match=r"no nn.Linear or nn.Conv2d layer left"):
        compress.prune(net, 0.5, exclude="*")


def test_excluded_layers_stay_whole_and_do_not_count():
    masks = compress.prune(mlp(), 0.5, exclude="4")
    assert list(masks) == ["0.weight", "2.weight"]
    assert masks.of == 108 + 63


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_weights_that_are_not_finite_are_refused_by_name_and_place(value):
    net = mlp()
    with torch.no_grad():
        net[2].weight[1, 4] = value
    with pytest.raises(ValueError, match=r"2.weight: 1 of 63 weights .* the first at \(1, 4\)"):
        compress.prune(net, 0.5)


def test_shared_weights_are_refused_by_both_names():
    net = nn.ModuleDict(
        {"words": nn.Embedding(5, 4), "head": nn.Linear(4, 5), "own": nn.Linear(4, 4)}
    )
    net["head"].weight = net["words"].weight
    with pytest.raises(
        ValueError, match=r"head.weight and words.weight are one tensor.*exclude='head'"
    ):
        compress.prune(net, 0.5)
    assert list(compress.prune(net, 0.5, exclude="head")) == ["own.weight"]
    with pytest.raises(ValueError, match=r"0.weight and 1.weight are one tensor"):
        compress.prune(nn.Sequential(*[nn.Linear(3, 3)] * 2), 0.5)


def test_the_help_of_prune_names_all_scores_and_scopes():
    assert all(f'"{name}"' in compress.prune.__doc__ for name in (*SCORES, *SCOPES))


def test_weights_without_values_and_computed_ones_are_refused():
    with pytest.raises(ValueError, match=r"send one batch through the net"):
        compress.prune(nn.Sequential(nn.LazyLinear(3)), 0.5)
    with pytest.raises(ValueError, match=r"of 'the net' has no values yet.* is pruned$"):
        compress.prune(nn.LazyLinear(3), 0.5)
    with pytest.raises(ValueError, match=r"expected a net \(nn\.Module\), got an OrderedDict"):
        compress.prune(nn.Linear(3, 3).state_dict(), 0.5)
    with pytest.raises(ValueError, match=r"has no values yet"):
        compress.prune(nn.Sequential(nn.Linear(3, 3, device="meta")), 0.5)
    net = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 3)), nn.Linear(3, 3))
    with pytest.raises(ValueError, match=r"remove_parametrizations.*exclude='0'"):
        compress.prune(net, 0.5)
    assert list(compress.prune(net, 0.5, exclude="0")) == ["1.weight"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_halves_are_pruned_as_the_same_numbers_in_float32_are(dtype):
    half = mlp(dtype=dtype)
    full = copy.deepcopy(half).float()
    for score in ("magnitude", "synflow", "random"):
        a, b = (compress.prune(net, 0.4, score, data=torch.ones(1, 12)) for net in (half, full))
        assert all(torch.equal(a[n], b[n]) for n in a), score


def test_gradients_that_overflow_in_halves_are_refused():
    net = mlp(dtype=torch.float16)
    x, y = samples(net)
    with pytest.raises(ValueError, match=r"score 'snip' of .* NaN or infinite"):
        compress.prune(net, 0.4, "snip", data=(x, y), loss=lambda a, b: a.float().sum() * 1e9)


def test_scores_that_need_samples_say_so():
    net = mlp()
    for score in ("snip", "grasp"):
        with pytest.raises(
            ValueError, match=rf"score '{score}' needs samples and their targets.*got none"
        ):
            compress.prune(net, 0.5, score)
        with pytest.raises(ValueError, match=r"got a Tensor"):
            compress.prune(net, 0.5, score, data=torch.ones(2, 12))
    for score in ("wanda", "synflow"):
        with pytest.raises(ValueError, match=rf"score '{score}' needs samples: data=x"):
            compress.prune(net, 0.5, score)


@pytest.mark.parametrize("score", ["snip", "grasp", "wanda"])
def test_batches_without_a_sample_are_refused(score):
    net = mlp()
    x, y = samples(net)
    with pytest.raises(ValueError, match=rf"'{score}' looks at samples, and .* \(0, 12\) has none"):
        compress.prune(net, 0.3, score, data=[(x, y), (x[:0], y[:0])])


@pytest.mark.parametrize("score", ["snip", "wanda"])
def test_arrays_are_named_where_tensors_are_needed(score):
    net = mlp()
    pair = tuple(part.numpy() for part in samples(net))
    for data, kind in ((pair, "tuple"), ([pair], "list")):
        with pytest.raises(ValueError, match=rf"got a {kind}, whose arrays .* torch.from_numpy"):
            compress.prune(net, 0.3, score, data=data)


def test_a_layer_that_is_never_called_has_no_norm_for_wanda():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.idle = nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, x):
            return self.used(x)

    with pytest.raises(ValueError, match=r"no sample came to layer 'idle'.*exclude='idle'"):
        compress.prune(Net(), 0.5, "wanda", data=torch.ones(2, 3))


@pytest.mark.parametrize("density", [0.02, 0.1, 0.35, 0.9])
def test_erk_is_what_bisection_finds(density):
    shapes = {
        "a": (300, 784),
        "b": (100, 300),
        "c": (10, 100),
        "d": (64, 3, 3, 3),
        "e": (64, 64, 3, 3),
    }
    raw = {n: sum(s) / math.prod(s) for n, s in shapes.items()}
    sizes = {n: math.prod(s) for n, s in shapes.items()}
    low, high = 0.0, 1e9
    for _ in range(200):
        e = (low + high) / 2
        held = sum(min(1, e * raw[n]) * sizes[n] for n in raw)
        low, high = (e, high) if held < density * sum(sizes.values()) else (low, e)
    found = densities.erk(shapes, density)
    for name in shapes:
        assert found[name] == pytest.approx(min(1, low * raw[name]), rel=1e-12)
    counts = densities.counts(found, shapes)
    assert sum(counts.values()) == math.floor(density * sum(sizes.values()) + 0.5)
    assert all(abs(counts[n] - found[n] * sizes[n]) < 1 for n in shapes)


def test_rounds_of_synflow_empty_no_layer_where_one_shot_does():
    torch.manual_seed(0)
    # (the wide layer in the middle shares the flow among many, so that one shot takes all of it)
    net = nn.Sequential(
        nn.Linear(4, 200), nn.ReLU(), nn.Linear(200, 200), nn.ReLU(), nn.Linear(200, 2)
    )
    with pytest.warns(compress.KeptOne):
        compress.prune(net, 0.001, "synflow", rounds=1, data=torch.ones(1, 4))
    masks = compress.prune(net, 0.001, "synflow", data=torch.ones(1, 4))
    assert all(count >= 2 for count in masks.counts.values())
    assert masks.kept == round(0.001 * masks.of)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.filterwarnings("ignore:Initializing zero-element")
def test_a_layer_without_weights_is_left_out(scope):
    net = nn.Sequential(nn.Linear(0, 5), nn.Linear(5, 4))
    masks = compress.prune(net, 0.5, scope=scope)
    assert list(masks) == ["1.weight"]
    assert masks.kept == 10


def test_a_note_names_the_sparse_layers_that_are_not_pruned():
    net = nn.Sequential(nn.Linear(12, 9), BibdLinear(9, 12), nn.ReLU(), BibdLinear(12, 9))
    masks = compress.prune(net, 0.5)
    assert list(masks) == ["0.weight"]
    assert masks.notes == ("1, 3: sparse already, neither pruned nor counted",)
    assert str(masks).endswith(masks.notes[0])
    assert compress.prune(mlp(), 0.5).notes == ()


@pytest.mark.parametrize("density", [np.float32(0.5), torch.tensor(0.5)])
def test_a_density_may_be_a_number_of_numpy_or_torch(density):
    assert compress.prune(mlp(), density).kept == compress.prune(mlp(), 0.5).kept
