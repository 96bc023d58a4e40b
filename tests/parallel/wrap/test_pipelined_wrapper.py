"""ModelParallel as a pipeline: in an ordinary loop, what the engine and the bare model compute."""

import copy
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from harness.data import Data
from harness.nets.dropout import KeyedDropout
from parallel import ModelParallel
from parallel.pipeline.pipeline import Pipeline
from parallel.pipeline.policies import POLICIES, policy
from parallel.pipeline.weights import Policy
from parallel.training.pipelined import Pipelined
from parallel.world.comm import Comm

STEPS = 20
CLOSE = dict(rtol=0.0, atol=1e-12)  # float64, a stable rate: rounding stays rounding
SGD = partial(torch.optim.SGD, lr=0.05)
OPTIMIZERS = {
    "momentum": partial(SGD, momentum=0.8, weight_decay=0.01),
    "nesterov": partial(SGD, momentum=0.8, nesterov=True),
    "sgd": SGD,
    "adam": partial(torch.optim.Adam, lr=0.01),
}


def stages(n, *extra):
    """Two linear layers a stage, with what is asked for in the first of them."""
    torch.manual_seed(1)
    widths = [4, *[6] * (2 * n - 1), 3]
    row = []
    for k in range(n):
        one, two, three = widths[2 * k : 2 * k + 3]
        more = [make(one, two, k) for make in extra]
        row.append(nn.Sequential(nn.Linear(one, two), *more, nn.Tanh(), nn.Linear(two, three)))
    return nn.Sequential(*row).double()


def digits(samples=40):
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(samples, 4, generator=g), torch.randint(3, (samples,), generator=g)
    data = Data.from_tensors(x, y, test=(x, y))
    return data.map(lambda v: v.double(), ("train_x", "test_x"))


def options_of(name):
    return {"warmup": 7, "drift": 0.2} if name == "pipemare" else {}


def micro_of(name, n):
    return max(1, n - 1) if name == "two_bw" else 1


def engine(model, name, n, optimizer, micro, **options):
    """A training by the engine, with the batches that it takes, and its weights after each."""
    how = policy(name, **options)
    pipeline = Pipeline(n, weights=how, micro=micro, layer_split=list(range(1, n)))
    training = Pipelined(
        copy.deepcopy(model), digits(), F.cross_entropy, optimizer, pipeline, Comm(n),
        batch_size=7, seed=3, steps=STEPS,
    )  # fmt: skip
    states = []
    for _ in range(STEPS):
        training.step()
        states.append({k: v.clone() for k, v in training.consensus().items()})
    batches = [training.copies.each[0].batches.index(t) for t in range(STEPS)]
    return states, [(training.data.train_x[i], training.data.train_y[i]) for i in batches]


def looped(model, name, n, optimizer, batches, **options):
    """The same in an ordinary loop; the wrapper, and its weights after each step."""
    split = list(range(1, n))
    wrapped = ModelParallel(style=name, model=copy.deepcopy(model), layer_split=split, **options)
    stepper = optimizer(wrapped.parameters())
    states = []
    for x, y in batches:
        stepper.zero_grad()
        F.cross_entropy(wrapped(x), y).backward()
        stepper.step()
        states.append({k: v.clone() for k, v in wrapped.state_dict().items()})
    return wrapped, states


def apart(a, b):
    return max(float((a[k].double() - b[k].double()).abs().max()) for k in a)


@pytest.mark.parametrize("n", [2, 3, 4])
@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("name", POLICIES)
def test_an_ordinary_loop_computes_what_the_engine_does(name, kind, n):
    model, options = stages(n), options_of(name)
    made = OPTIMIZERS[kind]
    expected, batches = engine(model, name, n, made, micro_of(name, n), **options)
    wrapped, found = looped(model, name, n, made, batches, **options)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, **CLOSE)
    bare = copy.deepcopy(model)
    bare.load_state_dict(expected[-1])
    x = digits().test_x
    torch.testing.assert_close(wrapped.eval()(x), bare.eval()(x), **CLOSE)


@pytest.mark.parametrize("name", [name for name in POLICIES if name != "two_bw"])
def test_spike_compensation_is_the_engines(name):
    model, options = stages(3), {**options_of(name), "spike": True}
    made = OPTIMIZERS["momentum"]
    expected, batches = engine(model, name, 3, made, 1, **options)
    found = looped(model, name, 3, made, batches, **options)[1]
    torch.testing.assert_close(found[-1], expected[-1], **CLOSE)
    plain = looped(model, name, 3, made, batches, **options_of(name))[1]
    assert apart(plain[-1], expected[-1]) > 1e-3


class Behind(Policy):
    """One version older in the forward pass, the newest in the backward pass, at every stage."""

    def kept(self, stage, stages):
        return 1

    def forward(self, weights, t):
        return weights.version(weights.number - 1)


@pytest.mark.parametrize("n", [1, 3])
def test_passes_that_differ_on_the_last_stage_do_so_in_the_loop_as_in_the_engine(n):
    model, made = stages(n), OPTIMIZERS["momentum"]
    expected, batches = engine(model, Behind(), n, made, 1)
    found = looped(model, Behind(), n, made, batches)[1]
    torch.testing.assert_close(found[-1], expected[-1], **CLOSE)


@pytest.mark.parametrize("micro", [2, 3, 5])
@pytest.mark.parametrize("name", [n for n in POLICIES if n != "two_bw"])
def test_micro_batches_of_a_minibatch_see_what_the_engine_shows_them(name, micro):
    """Those of one minibatch may see different versions; 7 samples are no whole micro-batches."""
    model, options = stages(4), options_of(name)
    made = OPTIMIZERS["momentum"]
    expected, batches = engine(model, name, 4, made, micro, **options)
    found = looped(model, name, 4, made, batches, micro=micro, **options)[1]
    torch.testing.assert_close(found[-1], expected[-1], **CLOSE)


def test_policies_differ_from_each_other_and_from_one_process():
    model = stages(3)
    made = OPTIMIZERS["momentum"]
    _, batches = engine(model, "vanilla", 3, made, 1)
    ends = {
        name: looped(model, name, 3, made, batches, **options_of(name))[1][-1]
        for name in (*POLICIES, "naive")
    }
    for name in ends:
        for other in ends:
            if name != other and {name, other} != {"spectrain_v2", "lwp"}:
                assert apart(ends[name], ends[other]) > 1e-6, (name, other)


def drop(*sizes):
    return nn.Dropout(0.3)


def keyed(*sizes):
    return KeyedDropout(0.3, layer=sizes[-1])


def norm(*sizes):
    return nn.BatchNorm1d(sizes[1])


@pytest.mark.parametrize("layer", [drop, keyed, norm])
@pytest.mark.parametrize("name", POLICIES)
def test_noise_and_batch_norm_are_the_engines(name, layer):
    """Of a seed; running statistics agree when the engine's pipeline has run dry."""
    model, options = stages(3, layer), options_of(name)
    made, micro = OPTIMIZERS["momentum"], micro_of(name, 3)
    expected, batches = engine(model, name, 3, made, micro, **options)
    found = looped(model, name, 3, made, batches, seed=3, **options)[1]
    weights = [name for name, _ in model.named_parameters()]
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close({k: a[k] for k in weights}, {k: b[k] for k in weights}, **CLOSE)
    torch.testing.assert_close(found[-1], expected[-1], **CLOSE)
    if layer is not norm:
        other = looped(model, name, 3, made, batches, seed=4, **options)[1]
        assert apart(other[-1], expected[-1]) > 1e-4


@pytest.mark.parametrize("split", [None, "measured"])
def test_where_a_wrapper_is_cut_is_known_once_a_batch_has_come(split):
    wrapped = ModelParallel(style="1f1b", model=stages(3), layer_split=split, stages=3)
    assert wrapped.layer_split is None
    wrapped(digits().train_x)
    assert wrapped.layer_split == [1, 2]
