"""The wrapper in the loops that people write: clipping, scaling, accumulating, loading, saving."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from parallel import DataParallel, World, train
from parallel.identities import averaging as identities
from parallel.world.comm import NotFinite
from parallel.wrap.scatter import scatter

DATA = identities.task()


def adam(net):
    return torch.optim.Adam(net.parameters(), lr=0.02)


def backward(net, index, share=1.0):
    (share * F.cross_entropy(net(DATA.train_x[index]), DATA.train_y[index])).backward()


def state(net):
    return {k: v.detach() for k, v in net.state_dict().items()}


@pytest.mark.parametrize("workers", [2, 3])
def test_clipping_is_that_of_the_bare_model(workers):
    bare, net = (
        identities.net(),
        DataParallel("all_reduce", model=identities.net(), workers=workers),
    )
    own, other = adam(bare), adam(net)
    for step in range(6):
        index = torch.arange(7) + step
        for model, optimizer in ((bare, own), (net, other)):
            optimizer.zero_grad()
            backward(model, index)
        norm = torch.nn.utils.clip_grad_norm_(bare.parameters(), 0.1)
        assert norm > 0.1
        assert float(net.clip_grad_norm_(0.1)) == pytest.approx(float(norm), abs=1e-12)
        own.step()
        other.step()
    assert identities.apart(state(net), state(bare)) < 1e-9


def test_replicas_that_differ_are_clipped_each_by_its_own_norm():
    net = DataParallel("localSGD", model=identities.net(), workers=2)
    backward(net, torch.arange(8))
    net.clip_grad_norm_(0.01)
    for replica in net.replicas:
        norm = torch.nn.utils.get_total_norm([p.grad for p in replica.parameters()])
        assert float(norm) == pytest.approx(0.01, rel=1e-4)


def test_micro_batches_of_any_size_add_up():
    bare, net = identities.net(), DataParallel("all_reduce", model=identities.net(), workers=3)
    own, other = adam(bare), adam(net)
    for _ in range(5):
        for model, optimizer in ((bare, own), (net, other)):
            optimizer.zero_grad()
            for part in torch.arange(16).split([11, 1, 4]):
                backward(model, part, 1 / 3)
            optimizer.step()
    assert identities.apart(state(net), state(bare)) < 1e-9


def test_two_losses_of_one_forward():
    bare, net = identities.net(), DataParallel("all_reduce", model=identities.net(), workers=3)
    for model in (bare, net):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(3):
            outputs = model(DATA.train_x[:7])
            F.cross_entropy(outputs, DATA.train_y[:7]).backward(retain_graph=True)
            outputs.square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
    assert identities.apart(state(net), state(bare)) < 1e-12


def test_a_scaler_skips_the_step_of_all():
    """As DistributedDataParallel: infinity spreads, and nobody steps."""
    net = DataParallel("all_reduce", model=identities.net().float(), workers=2)
    optimizer, x = adam(net), DATA.train_x[:6].float()
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    before = copy.deepcopy(state(net))
    for k in range(3):
        optimizer.zero_grad()
        outputs = net(x * (float("inf") if k == 1 else 1.0))
        scaler.scale(F.cross_entropy(outputs, DATA.train_y[:6])).backward()
        scaler.step(optimizer)
        scaler.update()
        assert net.steps == (1, 1, 2)[k]
    assert scaler.get_scale() == 2.0
    assert all(bool(torch.isfinite(v).all()) for v in state(net).values())
    assert identities.apart(before, state(net)) > 0


def test_without_a_scaler_nan_is_refused_and_named():
    net = DataParallel("all_reduce", model=identities.net(), workers=2)
    optimizer, x = adam(net), DATA.train_x[:6].clone()
    x[5] = float("nan")
    F.cross_entropy(net(x), DATA.train_y[:6]).backward()
    with pytest.raises(NotFinite, match=r"worker 1: NaN or infinity among the gradients of step 1"):
        optimizer.step()


@pytest.mark.parametrize("style", ["torch", "localSGD", "easgd"])
def test_what_is_written_into_the_shown_model_is_not_lost(style):
    options = dict(alpha=0.2) if style == "easgd" else {}
    net = DataParallel(style, model=identities.net(), **options)
    optimizer, other = adam(net), identities.net(1).state_dict()
    net.module.load_state_dict(other)
    if style == "torch":
        assert torch.equal(net.state_dict()["0.weight"], other["0.weight"])
        assert torch.equal(net.replicas[0][0].weight, other["0.weight"])
        return
    backward(net, torch.arange(6))
    with pytest.raises(ValueError, match=r"load with net.load_state_dict"):
        optimizer.step()


def test_a_frozen_layer_of_the_shown_model_is_told():
    net = DataParallel("localSGD", model=identities.net())
    net.module[0].requires_grad_(False)
    with pytest.raises(ValueError, match=r"freeze net.parameters"):
        net.eval()(DATA.train_x)


@pytest.mark.parametrize("n", [29, 7, 3, 2])
def test_batch_norms_have_two_samples_wherever_they_can(n):
    layers = nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)
    net = DataParallel("localSGD", model=nn.Sequential(*layers).double(), workers=16, iterations=2)
    optimizer = adam(net)
    for _ in range(2):
        index = torch.arange(n) % 22
        optimizer.zero_grad()
        backward(net, index)
        optimizer.step()
    sizes = [count for count, _ in scatter(DATA.train_x.repeat(2, 1)[:n], 16, 0, max(1, n // 2))]
    assert sum(sizes) == n
    assert 1 not in sizes


GOING_ON = ["localSGD", "elastic_gossip", "easgd", "ist", "all_reduce", "top_k", "power_sgd"]


@pytest.mark.parametrize("style", GOING_ON)
def test_training_goes_on_to_the_bit(style):
    options = {"easgd": dict(alpha=0.2), "localSGD": dict(iterations=4), "ist": dict(iterations=4)}
    options |= {"top_k": dict(fraction=0.2)}

    def make():
        net = DataParallel(style, model=identities.net(), workers=3, **options.get(style, {}))
        return net, adam(net)

    def run(net, optimizer, steps):
        for step in steps:
            optimizer.zero_grad()
            backward(net, torch.arange(7) + step)
            optimizer.step()

    whole, first, second = make(), make(), make()
    run(*whole, range(9))
    run(*first, range(5))
    second[0].load_training_state(copy.deepcopy(first[0].training_state(first[1])), second[1])
    run(*second, range(5, 9))
    assert identities.apart(state(whole[0]), state(second[0])) == 0


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            dict(style=identities.net()),
            "the style is a name and the model a keyword",
        ),
        (dict(style="torch"), "got str and NoneType"),
        (dict(style="localSGD", model=identities.net(), iterations=0), "iterations is a number of"),
        (dict(model=identities.net(), initializer=3), "initializer is called with each replica"),
        (dict(style="ist", model=identities.net(), workers=True), "got True"),
        (dict(style="localSGD", model=identities.net(), dim=2), r"dim=2, but the batch has shape"),
    ],
)
def test_wrong_words(words, text):
    with pytest.raises(ValueError, match=text):
        DataParallel(**words)(DATA.train_x)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (dict(batch_size=0), "batch_size is a whole number, 1 or more"),
        (dict(wrapper="localSGD"), r"such as lambda m: DataParallel\('localSGD', model=m\)"),
        (dict(learning_rate=3), "unknown option of cifar100 'learning_rate'"),
    ],
)
def test_wrong_words_of_benchmarks(words, text):
    from parallel.wrap.benchmarks import cifar100

    with pytest.raises(ValueError, match=text):
        cifar100(identities.net(), **words)


def test_an_initializer_changes_the_given_model():
    with pytest.raises(ValueError, match="change the given one in place"):
        DataParallel("localSGD", model=identities.net(), initializer=lambda _: identities.net(1))


class Headed(nn.Module):
    """A parameter of the name that the flags of gradients might have had."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.l, self.header = nn.Linear(4, 3), nn.Parameter(torch.zeros(3))

    def forward(self, x):
        return self.l(x) + self.header


def test_any_name_of_a_parameter_will_do():
    found = [
        list(train(Headed().double(), DATA, world=world, steps=4, batch_size=8))[-1]
        for world in (World.sim(2), World.procs(2, timeout=20))
    ]
    assert found[0]["test_loss"] == pytest.approx(found[1]["test_loss"], abs=1e-12)
    assert found[1]["consensus_distance"] == 0
    assert found[1]["bytes_payload"] == found[1]["bytes_theory"]
    bare, net = Headed().double(), DataParallel("all_reduce", model=Headed().double(), workers=2)
    for model in (bare, net):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        backward(model, torch.arange(7))
        optimizer.step()
    assert identities.apart(state(net), state(bare)) < 1e-12


class TwoHeads(nn.Module):
    """The first layer learns from its own outputs only."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x):
        hidden = self.a(x)
        return self.b(hidden.detach()), hidden


def test_what_is_unfrozen_later_is_averaged_too():
    bare = TwoHeads().double()
    bare.a.requires_grad_(False)
    net = DataParallel("all_reduce", model=bare, workers=2).requires_grad_(True)
    bare.requires_grad_(True)
    for model in (bare, net):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            outputs, hidden = model(DATA.train_x[:7])
            F.cross_entropy(outputs, DATA.train_y[:7]).backward(retain_graph=True)
            hidden.square().mean().backward()
            optimizer.step()
    assert identities.apart(state(net), state(bare)) < 1e-12


def test_gradients_from_elsewhere_are_averaged_at_the_step():
    bare, net = identities.net(), DataParallel("all_reduce", model=identities.net(), workers=2)
    for model in (bare, net):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for step in range(3):
            backward(model, torch.arange(7))  # (a batch that is thrown away)
            optimizer.zero_grad()
            index = torch.arange(7) + step
            loss = F.cross_entropy(model(DATA.train_x[index]), DATA.train_y[index])
            parameters = list(model.parameters())
            for p, g in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
                p.grad = g
            optimizer.step()
    assert identities.apart(state(net), state(bare)) < 1e-12


def test_large_gradients_in_half_precision_are_finite():
    net = DataParallel("all_reduce", model=nn.Linear(400, 400).half(), workers=2)
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-6)
    net(torch.ones(4, 400).half()).float().mean(0).sum().backward()
    optimizer.step()
    assert net.steps == 1


def test_nan_that_was_mended_or_is_over_is_forgotten():
    x = DATA.train_x[:6].clone()
    x[5] = float("nan")
    net = DataParallel("post_local_sgd", model=identities.net(), workers=2, switch=2, period=2)
    optimizer = adam(net)
    backward(net, torch.arange(6))
    optimizer.step()
    optimizer.zero_grad()
    for part in (x, DATA.train_x[:6]):  # (found in the first of two backwards: still worker 1's)
        F.cross_entropy(net(part), DATA.train_y[:6]).backward()
    with pytest.raises(NotFinite, match=r"^worker 1: NaN"):
        optimizer.step()
    for step in range(3):
        optimizer.zero_grad()
        backward(net, torch.arange(6) + step)
        optimizer.step()
    net = DataParallel("all_reduce", model=identities.net(), workers=2)
    optimizer = adam(net)
    F.cross_entropy(net(x), DATA.train_y[:6]).backward()
    for p in net.parameters():
        p.grad.nan_to_num_(0, 0, 0)
    optimizer.step()


@pytest.mark.parametrize("style", ["all_reduce", "top_k", "power_sgd"])
def test_fused_optimizers_that_skip_for_a_scaler(style):
    net = DataParallel(style, model=nn.Linear(4, 3), workers=2)
    optimizer = torch.optim.Adam(net.parameters(), fused=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
    before = copy.deepcopy(state(net))
    for _ in range(2):
        optimizer.zero_grad()
        outputs = net(DATA.train_x[:8].float() * 100)
        scaler.scale(F.cross_entropy(outputs, DATA.train_y[:8])).backward()
        scaler.step(optimizer)
        scaler.update()
    assert net.steps == 0
    assert identities.apart(before, state(net)) == 0


def test_clipping_a_sum_is_refused():
    net = DataParallel("all_reduce", model=identities.net(), workers=2, loss_reduction="sum")
    with pytest.raises(ValueError, match="take a mean as the loss"):
        net.clip_grad_norm_(1.0)
