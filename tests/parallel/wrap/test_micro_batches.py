"""ModelParallel of a style that waits: the gradient of the whole batch, in micro-batches."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from harness.nets.dropout import KeyedDropout, set_key
from parallel import ModelParallel
from parallel.pipeline.weights import SpecTrain1
from parallel.wrap.styles import WAITING
from tests.parallel.wrap.nets import batch, net, vgg

CLOSE = dict(rtol=0.0, atol=1e-12)
SPLITS = {"naive": [2, 4], "zbv": [1, 2, 4], "interleaved": [1, 2, 3]}


def trained(model, sizes, momentum=0.8):
    stepper = torch.optim.SGD(model.parameters(), lr=0.05, momentum=momentum)
    for i, n in enumerate(sizes):
        x, y = batch(n, i)
        stepper.zero_grad()
        F.cross_entropy(model(x), y).backward()
        stepper.step()
    return model


def same(wrapped, bare):
    torch.testing.assert_close(wrapped.state_dict(), bare.state_dict(), **CLOSE)
    x = batch()[0]
    torch.testing.assert_close(wrapped.eval()(x), bare.eval()(x), **CLOSE)


@pytest.mark.parametrize("micro", [1, 2, 4, None])
@pytest.mark.parametrize("style", WAITING)
def test_steps_are_those_of_the_bare_model(style, micro):
    """Also of batches that the micro-batches do not divide, and of those with fewer samples."""
    split = SPLITS.get(style, [2, 4])
    wrapped = ModelParallel(style=style, model=net(), layer_split=split, micro=micro)
    sizes = [12, 7, 3, 1, 12]
    same(trained(wrapped, sizes), trained(net(), sizes))


@pytest.mark.parametrize(("style", "stage"), [("gpipe", 0), ("pipedream", 0)])
def test_batch_norm_with_one_sample_is_told_in_words(style, stage):
    wrapped = ModelParallel(style=style, model=net(norm=True), layer_split=[3], micro=12)
    words = rf"stage {stage} has batch norm and was given a micro-batch of 1 sample.*fewer of them"
    with pytest.raises(ValueError, match=words):
        wrapped(batch()[0])


def test_batch_norm_sees_micro_batches():
    """One at a time, in their order; so the numbers are not those of the whole batch."""
    wrapped = ModelParallel(style="gpipe", model=net(norm=True), layer_split=[3], micro=2)
    bare, x = net(norm=True), batch()[0]
    expected = torch.cat([bare(x[:6]), bare(x[6:])])
    torch.testing.assert_close(wrapped(x), expected, **CLOSE)
    torch.testing.assert_close(wrapped.state_dict(), bare.state_dict(), **CLOSE)
    assert not torch.allclose(net(norm=True)(x), expected)


def test_micro_batches_have_masks_of_their_own():
    model = nn.Sequential(KeyedDropout(0.5), nn.Linear(5, 5)).double()
    wrapped = ModelParallel(style="1f1b", model=model, layer_split=[1], micro=2)
    set_key(wrapped, seed=1, step=3)
    x = torch.ones(8, 5).double()
    parts = []
    for j in range(2):
        set_key(model, workers=(j,))
        parts.append(model(x[:4]))
    set_key(model, workers=(0,))
    assert torch.equal(wrapped(x), torch.cat(parts))
    assert not torch.equal(*parts)
    assert model[0].workers == (0,)


def test_the_order_of_forward_passes_is_the_schedules():
    """Interleaved, of two stages of one rank: two micro-batches through the first, then both on."""
    found = {}
    for style in ("naive", "interleaved"):
        model, heard = net(), []
        for k in (0, 2):
            model[k].register_forward_hook(lambda *_, k=k, heard=heard: heard.append(k))
        wrapped = ModelParallel(style=style, model=model, layer_split=[1, 2, 4], micro=4)
        wrapped(batch()[0])
        heard.clear()  # (the first call has tried the pieces, on copies with the same hooks)
        wrapped(batch()[0])
        found[style] = heard
    assert found == {"naive": [0, 2] * 4, "interleaved": [0, 0, 2, 2] * 2}


@pytest.mark.parametrize("style", ["1f1b", "pipedream"])
def test_a_net_is_cut_by_measured_times(style):
    class Slow(nn.Module):
        def forward(self, x):
            for _ in range(300):
                x = torch.sin(x)
            return x

    row = [nn.Linear(5, 5), Slow(), nn.Linear(5, 5), nn.Linear(5, 3)]
    wrapped = ModelParallel(style=style, model=nn.Sequential(*row).double(), stages=3)
    assert wrapped.layer_split is None
    wrapped(batch()[0])
    assert wrapped.layer_split == [1, 2]
    assert "layer_split=[1, 2]" in repr(wrapped)


def test_measuring_draws_nothing_of_the_users():
    row = [KeyedDropout(0.5), nn.Dropout(0.5), nn.Linear(5, 5), nn.Linear(5, 3)]
    found = []
    for split in ([2], None):
        wrapped = ModelParallel(
            style="naive", model=nn.Sequential(*row).double(), layer_split=split, stages=2
        )
        torch.manual_seed(5)
        found.append(wrapped(batch()[0]))
    assert torch.equal(*found)


def test_a_net_that_is_no_row_of_layers_is_traced():
    torch.manual_seed(0)
    model = vgg().double()
    bare, x = copy.deepcopy(model).eval(), torch.randn(6, 3, 16, 16).double()
    for m in (model, bare):
        for layer in m.modules():
            if isinstance(layer, nn.Dropout):
                layer.p = 0.0
    wrapped = ModelParallel(style="gpipe", model=model, layer_split=[2, 5], micro=1)
    out, expected = wrapped(x), bare.train()(x)
    assert torch.equal(out, expected)
    out.sum().backward()
    expected.sum().backward()
    for a, b in zip(wrapped.parameters(), bare.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, **CLOSE)
    assert list(wrapped.state_dict()) == list(bare.state_dict())


def test_a_sequential_with_a_forward_pass_of_its_own_is_not_cut_into_its_children():
    class Odd(nn.Sequential):
        def forward(self, x):
            return super().forward(x) + x

    model, x = Odd(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 5)).double(), batch()[0]
    with pytest.raises(ValueError, match="Odd has 1 pieces to cut between"):
        ModelParallel(style="gpipe", model=model, layer_split=[1])(x)


@pytest.mark.parametrize("style", ["1f1b", "zb_h1", "pipedream"])
def test_on_several_devices_inputs_travel(style):
    """To torch "cpu" and "cpu:0" are two; in eval() the stages answer in a row."""
    made = ModelParallel(style=style, model=net(), layer_split=[2], devices=["cpu", "cpu:0"])
    heard = []
    trained(made, [12])
    for k in (0, 4):
        made.model[k].register_forward_hook(lambda *_, k=k: heard.append(k))
    bare, x = net(), batch()[0]
    bare.load_state_dict(made.state_dict())
    assert torch.equal(made.eval()(x), bare(x))
    assert heard == [0, 4]
    if style != "pipedream":
        same(made, trained(net(), [12]))


def test_stages_are_placed_as_the_schedule_says():
    """In zbv the first and the last stage are neighbours on one rank."""
    wrapped = ModelParallel(
        style="zbv", model=net(), layer_split=[1, 2, 4], devices=["cpu", "meta"]
    )
    with pytest.raises(NotImplementedError):  # (nothing comes back from the meta device)
        wrapped(batch()[0])
    kinds = [p.device.type for p in wrapped.parameters()]
    assert kinds == ["cpu", "cpu", "meta", "meta", "cpu", "cpu"]


WRONG = {
    "unknown style 'gpip': did you mean 'gpipe'": dict(style="gpip", layer_split=[1]),
    "did you mean 'pipedream'": dict(style="pipe_dream", layer_split=[1]),
    "did you mean 'micro'": dict(style="gpipe", layer_split=[1], micros=2),
    "did you mean 'warmup'": dict(style="pipemare", layer_split=[1], warm_up=2),
    "unknown keyword of ModelParallel.*'spike'": dict(style="1f1b", layer_split=[1], spike=True),
    "unknown keyword of ModelParallel.*'chunks'": dict(style="zbv", layer_split=[1], chunks=2),
    "unknown keyword of ModelParallel 'micro'": dict(style="basic", layer_split=[1], micro=2),
    "layer_split is a list of numbers": dict(style="gpipe", layer_split=3),
    "got None": dict(style="basic"),
    "expected 1 ascending numbers from 1 to 4": dict(style="gpipe", layer_split=[5]),
    "makes 2 parts, and stages=3": dict(style="gpipe", layer_split=[1], stages=3),
    "6 stages for 5 layers": dict(style="gpipe", stages=6),
    "2 devices for 3 parts": dict(style="gpipe", layer_split=[1, 2], devices=["cpu", "cpu"]),
    "micro is a whole number": dict(style="gpipe", layer_split=[1], micro=0),
    "needs micro=2 or more": dict(style="two_bw", layer_split=[1, 2], micro=1),
    "expected 4 or 6": dict(style="interleaved", layer_split=[1, 2, 3], micro=5),
}


@pytest.mark.parametrize("words", WRONG)
def test_what_does_not_fit_is_said_at_once(words):
    with pytest.raises(ValueError, match=words):
        ModelParallel(model=net(), **WRONG[words])


def test_what_cannot_be_cut_or_joined():
    wrapped = ModelParallel(style="gpipe", model=net(), layer_split=[2], micro=2)
    x, _ = batch()
    with pytest.raises(ValueError, match="takes one tensor of samples"):
        wrapped(x, x)
    with pytest.raises(ValueError, match="takes one tensor of samples"):
        wrapped(input=x)
    summed = nn.Sequential(nn.Linear(5, 3), nn.Flatten(0)).double()
    with pytest.raises(ValueError, match="joined sample by sample"):
        ModelParallel(style="gpipe", model=summed, layer_split=[1], micro=2)(x)
    pairs = nn.Sequential(nn.LSTM(5, 3), nn.Identity()).double()
    with pytest.raises(ValueError, match=r"piece 0 \(LSTM\) gives a tuple"):
        ModelParallel(style="gpipe", model=pairs, layer_split=[1])(x)


class Traced(nn.Module):
    """A net that is no Sequential: torch.fx finds its pieces."""

    def __init__(self, tied=False):
        super().__init__()
        self.first, self.second, self.third = (nn.Linear(5, 5).double() for _ in range(3))
        if tied:
            self.third.weight = self.first.weight

    def forward(self, x):
        return self.third(self.second(self.first(x).relu()))


def tied():
    model = nn.Sequential(*(nn.Linear(5, 5).double() for _ in range(3)))
    model[2].weight = model[0].weight
    return model


@pytest.mark.parametrize("style", ["gpipe", "pipedream"])
@pytest.mark.parametrize(
    ("model", "how", "words"),
    [
        (tied(), dict(layer_split=[1]), "0.weight and 2.weight are one tensor, in stages 0 and 1"),
        (Traced(tied=True), dict(layer_split=[1]), "first.weight and third.weight are one tensor"),
        (Traced(), dict(layer_split=[2, 1]), "expected 2 ascending numbers from 1 to 3"),
        (Traced(), dict(layer_split=[9]), "expected 1 ascending numbers from 1 to 3"),
        (Traced(), dict(stages=7), "7 stages for 4 layers: Traced has 4 pieces"),
        (nn.Linear, dict(layer_split=[1]), r"an nn.Module, got .*: this is a class, call it: Lin"),
    ],
)
def test_what_the_net_alone_shows_is_refused_before_the_first_batch(style, model, how, words):
    with pytest.raises(ValueError, match=words):
        ModelParallel(style=style, model=model, **how)


def test_a_policy_that_nobody_has_made_is_told_so():
    with pytest.raises(ValueError, match=r"a name or a Policy, got .*call it: SpecTrain1\(\)"):
        ModelParallel(style=SpecTrain1, model=net(), layer_split=[1])
