"""DataParallel: one line, and the loop stays what it was."""

import copy
import gc
import io
import re

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from harness.nets.dropout import KeyedDropout, set_key
from harness.stack import stack
from parallel import STRATEGIES, DataParallel, ModelParallel
from parallel.strategy import make
from parallel.wrap import hooks
from parallel.wrap.data_parallel import ITERATIONS, STYLES, strategy_of
from parallel.wrap.scatter import gather, scatter
from tests.parallel.wrap.nets import batch, net, vgg

SGD = dict(lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3)


def fit(model, steps=9, n=12, optimizer=None, reduction="mean"):
    optimizer = optimizer or torch.optim.SGD(model.parameters(), **SGD)
    for k in range(steps):
        x, y = batch(n, k)
        optimizer.zero_grad()
        F.cross_entropy(model(x), y, reduction=reduction).backward()
        optimizer.step()
    return model


def apart(a, b):
    assert list(a) == list(b)
    return max(float((a[k] - b[k]).abs().max()) for k in a)


@pytest.mark.parametrize("style", ["torch", "localSGD", "ist", *STRATEGIES])
def test_it_behaves_like_the_model(style):
    """A loop, an optimizer, eval, and a state that loads into the bare model."""
    bare = net(norm=True)
    workers = {"torch": None, "hierarchical": 4}.get(style, 3)
    wrapped = fit(DataParallel(style=style, model=bare, workers=workers))
    wrapped.eval()
    assert not any(m.training for m in wrapped.modules())
    x, _ = batch(7, 99)
    out = wrapped(x)
    assert list(wrapped.state_dict()) == list(bare.state_dict())
    fresh = net(3, norm=True)
    fresh.load_state_dict(wrapped.state_dict())
    assert torch.equal(fresh.eval()(x), out)
    assert apart(net(norm=True).state_dict(), bare.state_dict()) == 0  # left as it was
    assert all(m.training for m in wrapped.train().replicas.modules())


@pytest.mark.parametrize("n", [12, 13, 7, 2, 1])
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_all_reduce_is_the_bare_model(workers, n, reduction):
    """For any batch, also one with fewer samples than workers; the learning rate is not divided."""
    options = dict(style="all_reduce", workers=workers, loss_reduction=reduction)
    wrapped = fit(DataParallel(model=net(), **options), n=n, reduction=reduction)
    bare = fit(net(), n=n, reduction=reduction)
    assert apart(wrapped.state_dict(), bare.state_dict()) <= 1e-12


@pytest.mark.parametrize("style", [s for s in STRATEGIES if s != "easgd"])
def test_one_worker_is_the_bare_model_to_the_bit(style):
    wrapped = fit(DataParallel(style=style, model=net(), workers=1))
    assert apart(wrapped.state_dict(), fit(net()).state_dict()) == 0


def test_local_sgd_by_hand():
    """Each replica its share, its own momentum; the mean after steps 4 and 8."""
    wrapped = DataParallel(style="localSGD", model=net(), workers=2, iterations=4)
    fit(wrapped, steps=10)
    alone = [net(), net()]
    optimizers = [torch.optim.SGD(m.parameters(), **SGD) for m in alone]
    for k in range(10):
        x, y = batch(12, k)
        for m, o, xs, ys in zip(alone, optimizers, x.split(6), y.split(6), strict=True):
            o.zero_grad()
            F.cross_entropy(m(xs), ys).backward()
            o.step()
        if k in (3, 7):
            with torch.no_grad():
                for a, b in zip(*(m.parameters() for m in alone), strict=True):
                    a.copy_((a + b) / 2)
                    b.copy_(a)
    for replica, m in zip(wrapped.replicas, alone, strict=True):
        assert apart(replica.state_dict(), m.state_dict()) <= 1e-12
    mean = {k: (v + alone[1].state_dict()[k]) / 2 for k, v in alone[0].state_dict().items()}
    assert apart(wrapped.state_dict(), mean) <= 1e-12


def test_the_wrapper_is_the_training_loop_of_the_simulation():
    """Strategy, partition and optimizer state of IST: the same numbers as parallel.train's."""
    from parallel.identities import averaging as I

    found = I.trained(STRATEGIES["ist"](period=4))
    wrapped = DataParallel(style="ist", model=I.net(), workers=3, iterations=4, seed=I.SEED)
    optimizer = torch.optim.SGD(wrapped.parameters(), **I.MOMENTUM)
    data = I.task()
    for step in range(1, I.STEPS + 1):
        shares = found.shards.at(step)
        sizes = [len(s) for s in shares]
        if sizes != sorted(sizes, reverse=True) or max(sizes) - min(sizes) > 1:
            shares = None  # the wrapper would cut such a batch elsewhere: feed replicas directly
        optimizer.zero_grad()
        if shares is not None:
            index = torch.cat(list(shares))
            F.cross_entropy(wrapped(data.train_x[index]), data.train_y[index]).backward()
        else:
            for i, index in enumerate(found.shards.at(step)):
                wrapped.counts[i] += len(index)
                if len(index):
                    out = wrapped.replicas[i](data.train_x[index])
                    F.cross_entropy(out, data.train_y[index]).backward()
        optimizer.step()
    assert apart(wrapped.state_dict(), found.executor.consensus()) <= 1e-12
    assert wrapped.comm.sent == found.comm.sent


def test_initializer_and_loading():
    wrapped = DataParallel(
        style="local", model=net(), workers=2, initializer=lambda m: nn.init.normal_(m[0].weight)
    )
    a, b = (r[0].weight for r in wrapped.replicas)
    assert not torch.equal(a, b)
    wrapped.load_state_dict(net(7).state_dict())
    for replica in wrapped.replicas:
        assert apart(replica.state_dict(), net(7).state_dict()) == 0
    buffer = io.BytesIO()
    torch.save(wrapped.state_dict(), buffer)
    buffer.seek(0)
    net().load_state_dict(torch.load(buffer, weights_only=True))


def test_it_follows_to_and_copies_and_ends():
    wrapped = DataParallel(style="easgd", model=net().float(), workers=2).double()
    fit(wrapped, steps=3)
    assert wrapped.state_dict()["0.weight"].dtype == torch.float64
    twin = copy.deepcopy(wrapped)
    fit(twin, steps=3)  # the copy has hooks of its own
    assert (wrapped.steps, twin.steps) == (3, 6)
    told = len(hooks._LISTENERS)
    del wrapped, twin
    gc.collect()
    assert len(hooks._LISTENERS) == told - 2


def test_outputs_and_inputs_of_any_kind():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(5, 2).double()

        def forward(self, x, *, scale, flag=True):
            return {"a": self.a(x) * scale, "b": (x.sum(1), None)}

    wrapped = DataParallel(style="local_sgd", model=Two(), workers=3)
    x, _ = batch(8)
    out = wrapped(x, scale=torch.tensor(2.0), flag=False)
    bare = wrapped.replicas[0](x, scale=2.0)
    assert torch.allclose(out["a"], bare["a"])
    assert torch.equal(out["b"][0], x.sum(1))
    assert out["b"][1] is None
    parts = scatter((x, {"w": x}), 3)
    assert [n for n, _ in parts] == [3, 3, 2]
    assert torch.equal(gather([(1.0, p[0]) for _, p in parts], 0), x)
    with pytest.raises(ValueError, match="no batch axis"):
        DataParallel(style="local_sgd", model=Scalar(), workers=2)(x)


class Scalar(nn.Module):
    """A model that cannot be joined."""

    def forward(self, x):
        return x.sum()


@pytest.mark.parametrize("style", ["localSGD", "ist"])
def test_torchvision_models_keep_their_classifier(style):
    """Dropout, biases, heads: nothing is dropped in silence."""
    torch.manual_seed(0)
    model = torchvision.models.squeezenet1_1(num_classes=10) if style == "localSGD" else vgg()
    wrapped = DataParallel(style=style, model=model, workers=2, iterations=1)
    optimizer = torch.optim.SGD(wrapped.parameters(), lr=0.01, momentum=0.9)
    x, y = torch.randn(5, 3, 32, 32), torch.arange(5)
    for _ in range(2):
        optimizer.zero_grad()
        F.cross_entropy(wrapped(x), y).backward()
        optimizer.step()
    state = wrapped.state_dict()
    assert list(state) == list(model.state_dict())
    moved = [k for k, p in model.named_parameters() if not torch.equal(p, state[k])]
    assert moved == [k for k, _ in model.named_parameters()]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (dict(style="localSDG"), "did you mean 'localSGD'"),
        (dict(style="localSGD", iteration=3), "did you mean 'iterations'"),
        (dict(style="gossip_pull", probabilty=0.5), "did you mean 'probability'"),
        (dict(style="localSGD", workers=0), "workers must be a number"),
        (dict(style="localSGD", iterations=0), "iterations is a number of steps"),
        (dict(style="elastic_gossip", alpha=0), r"alpha must be in \(0, 1\]"),
        (dict(style="localSGD", loss_reduction="men"), "did you mean 'mean'"),
        (dict(style="localSGD", average=("momentum",)), "unknown part to average"),
        (dict(style="ist", workers=9), "a hidden layer of 8 neurons for 9 workers"),
    ],
)
def test_wrong_words(words, text):
    with pytest.raises(ValueError, match=text):
        DataParallel(model=net(), **words)


def test_optimizers_that_do_not_fit():
    wrapped = DataParallel(style="ist", model=net(), workers=2, iterations=1)
    with pytest.raises(ValueError, match="LBFGS"):
        fit(wrapped, optimizer=torch.optim.LBFGS(wrapped.parameters()), steps=1)
    wrapped = DataParallel(style="ist", model=net(), workers=2, iterations=1)
    with pytest.raises(ValueError, match="Adafactor keeps"):
        fit(wrapped, optimizer=torch.optim.Adafactor(wrapped.parameters()), steps=1)
    fit(DataParallel(style="ist", model=net(), workers=2, iterations=2), steps=5)
    wrapped = DataParallel(style="localSGD", model=net(), workers=2)
    half = list(wrapped.parameters())[:4]
    with pytest.raises(ValueError, match="4 of the 12 parameters"):
        fit(wrapped, optimizer=torch.optim.SGD(half, lr=0.1), steps=1)


@pytest.mark.parametrize("name", ["Adam", "AdamW", "RMSprop", "Adagrad"])
def test_ist_takes_the_state_along(name):
    """After every collection each neuron's state is what its last owner made of it."""
    wrapped = DataParallel(style="ist", model=net(), workers=2, iterations=2)
    optimizer = getattr(torch.optim, name)(wrapped.parameters(), lr=0.01)
    fit(wrapped, steps=4, optimizer=optimizer)
    ist = wrapped.executor.states
    keys = {k.split("/")[1] for k in ist.values if "/" in k}
    assert keys
    assert keys < {"exp_avg", "exp_avg_sq", "square_avg", "sum", "momentum_buffer"}
    for i, replica in enumerate(wrapped.replicas):
        for key in keys:
            mine = optimizer.state[replica[0].weight][key]
            assert torch.equal(mine, ist.values[f"0.weight/{key}"][ist.parts[i][0]])


# Layers over devices


# Dropout by key


def test_keyed_masks_are_the_same_alone_and_stacked():
    alone = [KeyedDropout(0.5, layer=2) for _ in range(3)]
    both = stack(alone)
    x = torch.ones(3, 4, 6)
    set_key(nn.Sequential(both), seed=5, step=7, workers=[4, 0, 2])
    for i, (m, worker) in enumerate(zip(alone, (4, 0, 2), strict=True)):
        set_key(m, seed=5, step=7, workers=[worker])
        assert torch.equal(m(x[i]), both(x)[i])
    first = both(x)
    assert set(first.unique().tolist()) == {0.0, 2.0}
    set_key(both, step=8)
    assert not torch.equal(first, both(x))
    assert torch.equal(both.eval()(x), x)
    with pytest.raises(ValueError, match="p must be"):
        KeyedDropout(1.0)


TYPOS = [change(name) for name in (*STYLES, *STRATEGIES) for change in (str.upper, str.title)]
TYPOS += ["localsgd", "local-sgd", "LocalSGD", "localSDG", "gossip-pul", "allreduce", "isst"]
ASKED = {
    "DataParallel": lambda name: strategy_of(name, nn.Linear(2, 2), ITERATIONS, {}),
    "ModelParallel": lambda name: ModelParallel(name, model=net(), layer_split=[1]),
    "make": make,
}


@pytest.mark.parametrize("where", ASKED)
def test_a_name_that_is_suggested_is_taken_where_it_is_suggested(where):
    suggested = set()
    for typed in [*TYPOS, "Basic", "bsic"]:
        with pytest.raises(ValueError, match="unknown") as told:
            ASKED[where](typed)
        suggested |= set(re.findall("did you mean '(.*?)'", str(told.value)))
    assert suggested
    for name in suggested:
        assert ASKED[where](name)


def test_case_aside_the_style_is_suggested_by_its_public_name():
    with pytest.raises(ValueError, match="did you mean 'localSGD'"):
        DataParallel("localsgd", model=net())
    with pytest.raises(ValueError, match="did you mean 'local_sgd'"):
        make("localsgd")


@pytest.mark.parametrize("style", ["easgd", "torch", STRATEGIES["easgd"](alpha=0.1)])
def test_iterations_are_suggested_only_where_they_have_an_effect(style):
    with pytest.raises(ValueError, match="unknown keyword") as told:
        DataParallel(style, model=net(), iteration=3)
    assert "iterations" not in str(told.value)
    with pytest.raises(ValueError, match=r"iterations=3 is the period of localSGD.* no effect"):
        DataParallel(style, model=net(), iterations=3)
