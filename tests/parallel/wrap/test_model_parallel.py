"""ModelParallel: parts of a model on devices, and the loop stays what it was."""

import copy
import re

import pytest
import torch
from torch import nn

from parallel import ModelParallel
from parallel.identities import averaging as identities
from tests.parallel.wrap.nets import batch, net, vgg


def test_model_parallel_is_the_bare_model_to_the_bit():
    for model, split, sizes, x in (
        (net(norm=True), [2, 4], [2, 2, 2], batch()[0]),
        (vgg().double(), [1], [1, 2], torch.randn(4, 3, 16, 16).double()),
    ):
        torch.manual_seed(1)
        bare = copy.deepcopy(model)
        wrapped = ModelParallel(style="basic", model=model, layer_split=split)
        assert [len(names) for _, names in wrapped.parts] == sizes
        assert list(wrapped.state_dict()) == list(bare.state_dict())
        outs = []
        for m in (wrapped, bare):
            torch.manual_seed(2)
            out = m(x)
            out.sum().backward()
            outs.append(out)
        assert torch.equal(*outs)
        for a, b in zip(wrapped.parameters(), bare.parameters(), strict=True):
            assert torch.equal(a.grad, b.grad)
        wrapped.eval()
        assert not any(m.training for m in model.modules())
        assert torch.equal(wrapped(x), bare.eval()(x))
        bare.load_state_dict(wrapped.state_dict())


def test_model_parallel_on_two_devices():
    """The second part on the meta device: everything reaches it, and only that."""
    model = ModelParallel(model=net(), layer_split=[2], devices=["cpu", "meta"])
    assert {p.device.type for p in model.model[:2].parameters()} == {"cpu"}
    assert {p.device.type for p in model.model[2:].parameters()} == {"meta"}
    assert model(batch()[0]).device.type == "meta"


@pytest.mark.parametrize("split", [[0], [4, 2], [2, 2], [5], [-1], [1.5]])
def test_split_points_out_of_order(split):
    with pytest.raises(ValueError, match="expected ascending numbers from 1 to 4"):
        ModelParallel(model=net(), layer_split=split)


def test_other_wrong_words_of_model_parallel():
    with pytest.raises(ValueError, match="2 devices for 3 parts"):
        ModelParallel(model=net(), layer_split=[1, 2], devices=["cpu", "cpu"])
    with pytest.raises(ValueError, match="did you mean 'layer_split'"):
        ModelParallel(model=net(), layer_split=[1], layers_split=[2])
    with pytest.raises(ValueError, match="is no Sequential"):
        ModelParallel(model=nn.Linear(2, 2), layer_split=[1])
    with pytest.raises(ValueError, match="unknown style"):
        ModelParallel(style="pipeline", model=net(), layer_split=[1])


@pytest.mark.parametrize("style", ["basic", "1f1b", "pipedream"])
@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("replicas", "has no replicas: it holds one copy of each stage; train(net, data, strat"),
        ("schedule", 'has no schedule: its style names the schedule, such as style="1f1b": na'),
        ("weights", 'has no weights: its style names the policy, such as style="pipedream": v'),
    ],
)
def test_keywords_of_pipelines_are_told_where_they_are(style, key, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        ModelParallel(style, model=net(), layer_split=[1], **{key: 2})


def state(net):
    return {k: v.detach() for k, v in net.state_dict().items()}


def test_split_models_load_their_state_as_parts_of_others():
    inner = ModelParallel(model=identities.net(), layer_split=[2])
    whole = nn.Sequential(inner, nn.Linear(3, 2).double())
    saved = copy.deepcopy(whole.state_dict())
    assert "0.0.weight" in saved
    with torch.no_grad():
        for p in whole.parameters():
            p.zero_()
    whole.load_state_dict(saved)
    assert identities.apart(state(whole), saved) == 0
    with pytest.raises(RuntimeError, match="Missing key"):
        whole.load_state_dict({k: v for k, v in saved.items() if k != "0.0.weight"})


@pytest.mark.parametrize("split", [2, "2", [True]])
def test_wrong_splits(split):
    with pytest.raises(ValueError, match="layer_split"):
        ModelParallel(model=identities.net(), layer_split=split)


def test_a_schedule_of_ones_own_is_no_style():
    with pytest.raises(ValueError, match=r"a schedule of yours goes to .*schedule=yours"):
        ModelParallel(style=lambda stages, minibatches, micro: None, model=identities.net())
