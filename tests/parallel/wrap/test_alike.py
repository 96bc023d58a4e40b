"""What a wrapper cannot go on from is refused in words, before anything is loaded."""

import copy
import io
from functools import partial

import pytest
import torch
from torch import nn

from parallel import DataParallel, ModelParallel
from tests.parallel.wrap.nets import shallow, step

MOMENTUM = partial(torch.optim.SGD, lr=0.1, momentum=0.9)


def started(style, workers=2, optimizer=MOMENTUM, **options):
    net = DataParallel(style, model=shallow(), workers=workers, **options)
    return net, optimizer(net.parameters())


def saved(style, *options, old=False, **words):
    """A state as a file has it; of a release that did not say how its wrapper was made."""
    net, optimizer = started(style, *options, **words)
    for k in range(2):
        step(net, optimizer, k)
    file = io.BytesIO()
    torch.save(net.training_state(optimizer), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    if old:
        del state["made"]
    return state


def refused(state, style, *options, match, **words):
    """Nothing is loaded, not even in part."""
    net, optimizer = started(style, *options, **words)
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(ValueError, match=match):
        net.load_training_state(state, optimizer)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert net.steps == 0


STYLES = ["localSGD", "elastic_gossip", "push_sum", "diloco", "top_k", "all_reduce", "ist", "zero2"]
NAMES = {"localSGD": "local_sgd"}


@pytest.mark.parametrize("loaded", [*STYLES, "zero3", "easgd"])
@pytest.mark.parametrize("style", STYLES)
def test_another_style(style, loaded):
    if style == loaded:
        net, optimizer = started(loaded)
        net.load_training_state(saved(style), optimizer)
        assert net.steps == 2
        return
    names = (NAMES.get(name, name) for name in (style, loaded))
    words = "of style={}(,.*)?, and the net is style={}(,.*)?: make it as the other was".format(
        *names
    )
    refused(saved(style), loaded, match=words)


def test_other_options_and_other_numbers_of_workers():
    state = saved("localSGD", iterations=3)
    words = "style=local_sgd, period=3, and the net is style=local_sgd, period=4: make"
    refused(state, "localSGD", iterations=4, match=words)
    refused(state, "localSGD", 3, iterations=3, match="workers=2.* and the net is .*workers=3")
    refused(saved("top_k", fraction=0.2), "top_k", fraction=0.3, match="fraction=0.2, and")


def test_under_zero_a_list_is_what_to_load():
    words = r"style=zero2.*style=zero3.*as a list, net\.load_training_state\(\[state, "
    refused(saved("zero2"), "zero3", match=words)
    refused(saved("zero2"), "zero2", 3, match="workers=2.*workers=3.*as a list")
    refused([saved("all_reduce")], "zero2", match="style=all_reduce.*style=zero2")
    refused([saved("zero2"), saved("zero3")], "zero2", match="of several stages: expected those")
    net, optimizer = started("zero1")
    net.load_training_state(saved("zero2"), optimizer)  # (they keep the same)
    assert net.steps == 2


@pytest.mark.parametrize("style", [*STYLES, "zero3", "easgd"])
def test_an_old_state_loads_where_it_fits(style):
    net, optimizer = started(style)
    net.load_training_state(saved(style, old=True), optimizer)
    assert net.steps == 2


@pytest.mark.parametrize(
    ("style", "loaded", "words"),
    [
        (
            "localSGD",
            "zero2",
            "of workers that hold replicas, and the net is style=zero2, workers that hold slices",
        ),
        (
            "localSGD",
            "diloco",
            "outer=False, and the net is style=diloco, workers that hold replicas, outer=True",
        ),
        (
            "diloco",
            "localSGD",
            "outer=True, and the net is style=local_sgd, workers that hold replicas, outer=False",
        ),
        ("localSGD", "easgd", "centre=False"),
        ("zero2", "zero3", "divided=False.*divided=True.*as a list"),
        ("zero3", "ist", "of workers that hold slices"),
    ],
)
def test_an_old_state_that_does_not_fit_is_told_by_what_it_has(style, loaded, words):
    refused(saved(style, old=True), loaded, match=words)


def test_an_old_state_of_other_workers():
    refused(saved("localSGD", old=True), "localSGD", 3, match="workers=2.*workers=3")


@pytest.mark.parametrize("style", ["localSGD", "zero1", "zero3"])
def test_another_optimizer(style):
    adam = partial(torch.optim.Adam, lr=0.1)
    words = "has dampening, momentum, nesterov, and Adam does not, but has amsgrad, betas,"
    refused(saved(style), style, 2, adam, match=words)
    refused(saved(style, 2, adam), style, match="has amsgrad, betas,.*and SGD does not")

    def groups(params):
        some = list(params)
        return MOMENTUM([{"params": some[:2]}, {"params": some[2:]}])

    refused(saved(style), style, 2, groups, match="has 1 groups of parameters, and SGD has 2")
    if style != "localSGD":
        refused([saved(style)], style, 2, groups, match="has 1 groups of parameters, and SGD has 2")


def test_a_scheduler_adds_options_that_are_not_of_the_optimizer():
    net, optimizer = started("localSGD")
    torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=9)
    other = started("localSGD")
    other[0].load_training_state(net.training_state(optimizer), other[1])
    assert other[1].param_groups[0]["max_lr"] == 0.1


@pytest.mark.parametrize("style", ["localSGD", "zero3"])
def test_an_optimizer_of_something_else_is_refused_as_soon_as_it_is_given(style):
    net, optimizer = started(style)
    state, foreign = net.training_state(optimizer), MOMENTUM(shallow().parameters())
    for call in (net.training_state, partial(net.load_training_state, state)):
        with pytest.raises(ValueError, match=r"expected the optimizer of net\.parameters\(\), got"):
            call(foreign)


WRONG = [
    (shallow().state_dict(), r"a dictionary with 0\.weight, .*they go to net\.load_state_dict"),
    ({}, "got a dictionary with nothing"),
    (None, "got a NoneType"),
    (MOMENTUM(shallow().parameters()).state_dict(), "a dictionary with state, param_groups: save"),
]


@pytest.mark.parametrize(("state", "words"), WRONG)
def test_what_is_no_training_state(state, words):
    refused(state, "localSGD", match=f"of a DataParallel gave, .*{words}")
    net = ModelParallel(style="1f1b", model=shallow(), layer_split=[1])
    with pytest.raises(ValueError, match=f"of a ModelParallel gave, .*{words}"):
        net.load_training_state(state, MOMENTUM(net.parameters()))


def test_states_of_the_other_wrapper_and_optimizers_of_a_pipeline():
    net = ModelParallel(style="1f1b", model=shallow(), layer_split=[1])
    optimizer = MOMENTUM(net.parameters())
    step(net, optimizer)
    state = net.training_state(optimizer)
    refused(state, "localSGD", match="a dictionary with model, optimizer, kind, layer_split")
    with pytest.raises(ValueError, match="a dictionary with steps, team, made"):
        net.load_training_state(saved("localSGD"), optimizer)
    with pytest.raises(ValueError, match=r"the optimizer of net\.parameters\(\)"):
        net.training_state(MOMENTUM(shallow().parameters()))
    with pytest.raises(ValueError, match="and Adam does not"):
        net.load_training_state(state, torch.optim.Adam(net.parameters()))


@pytest.mark.parametrize("kind", [DataParallel, ModelParallel])
def test_the_order_of_torch_is_told_ours(kind):
    words = rf"{kind.__name__}\(style=.*, model=net\): the style comes first .* got a Linear"
    with pytest.raises(ValueError, match=words):
        kind(nn.Linear(2, 2), style="localSGD")
    with pytest.raises(ValueError, match="got a str, a Linear without a name"):
        kind("localSGD", nn.Linear(2, 2))


def test_the_beginning_of_a_keyword_is_enough_to_find_it():
    with pytest.raises(ValueError, match="'prob': did you mean 'probability'"):
        DataParallel("elastic_gossip", model=shallow(), prob=0.5)
