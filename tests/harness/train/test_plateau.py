"""Cooling down and ending: member by member, after fixed epochs or once flat."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from harness.data import load
from harness.job import Job
from harness.seeding import order
from harness.stack import stack
from harness.train.fit import fit, gradient_step
from harness.train.plateau import Plateau
from mlp.model import build
from mlp.plans.config import Config
from mlp.trainer import read, train, train_stack

DIGITS = Config(
    hidden=(16, 20),
    pattern="iddl",
    data="digits",
    epochs=30,
    lr=0.3,
    validation=200,
    patience=2,
    cooldown=3,
    timed=False,
)


def test_the_picture_in_the_docstring():
    plateau = Plateau(1, 20, patience=3, cooldown=3)
    losses = [0.90, 0.50, 0.40, 0.41, 0.42, 0.40, 0.38, 0.37, 0.37]
    rates = []
    for epoch, loss in enumerate(losses):
        assert plateau.ended() == [False]
        plateau.begin(epoch)
        rates += plateau.rates().tolist()
        plateau.end(torch.tensor([loss], dtype=torch.float64))
    assert rates == pytest.approx([1] * 6 + [5 / 6, 1 / 2, 1 / 6])
    assert plateau.ended() == [True]


def test_fixed_epochs_cool_down_at_the_end_and_without_cooldown_nothing_changes():
    plateau, rates = Plateau(2, 4, cooldown=2), []
    for epoch in range(4):
        plateau.begin(epoch)
        rates.append(plateau.rates().tolist())
        plateau.end(None)
        assert plateau.ended() == [False, False]
    assert rates == [[1, 1], [1, 1], [0.75, 0.75], [0.25, 0.25]]
    assert Plateau(2, 4).rates() is None


def test_a_cap_on_the_epochs_cools_down_too():
    plateau = Plateau(1, 5, patience=4, cooldown=2)
    rates = []
    for epoch in range(5):
        plateau.begin(epoch)
        rates += plateau.rates().tolist()
        plateau.end(torch.tensor([1.0 / (epoch + 1)], dtype=torch.float64))
    assert rates == [1, 1, 1, 0.75, 0.25]


@pytest.fixture
def exact(monkeypatch):
    """In float64, whose rounding (of another order of sums) moves no minimum to another epoch."""

    def data(config, job):
        found = read(config, job)
        names = ("train_x", "validation_x", "test_x")
        return replace(found, **{name: getattr(found, name).double() for name in names})

    monkeypatch.setattr(f"{train.__module__}.read", data)
    monkeypatch.setattr(f"{train.__module__}.build", lambda *words: build(*words).double())


def test_each_seed_ends_by_itself_whoever_its_companions_are(exact):
    together = list(train_stack(DIGITS, [0, 1, 2], Job()))
    lengths = [sum(rows[i] is not None for rows in together) for i in range(3)]
    assert max(lengths) == len(together) <= 30
    assert len(set(lengths)) > 1, "choose another lr: this test needs seeds of different length"
    for i, seed in enumerate((0, 1, 2)):
        alone = list(train(DIGITS, seed))
        assert len(alone) == lengths[i]
        mine = [rows[i] for rows in together[: lengths[i]]]
        for a, b in zip(alone, mine, strict=True):
            assert a["validation_loss"] == pytest.approx(b["validation_loss"], rel=1e-9)
        losses = [row["validation_loss"] for row in mine]
        if len(losses) < 30:  # flat: patience without a new minimum, then the cooldown
            before = losses[:-3]
            assert min(before) == before[-3]
            assert all(rows[i] is None for rows in together[lengths[i] :])


def test_the_rate_is_the_share_of_the_plain_loop():
    """Float64 against SGD without momentum whose rate is lowered by hand."""
    data = read(replace(DIGITS, validation=0, patience=0), Job())
    data = replace(data, train_x=data.train_x[:256].double(), train_y=data.train_y[:256])
    data = replace(data, test_x=data.test_x.double())
    nets = [build(DIGITS, 64, 10, s).double() for s in (0, 1)]
    together = stack(nets)
    sgd = torch.optim.SGD(together.parameters(), lr=0.1)
    plateau = Plateau(2, 3, cooldown=2)
    options = dict(seeds=[0, 1], epochs=3, batch_size=32, job=Job(), plateau=plateau)
    rows = list(fit(together, sgd, data, **options))
    for i, net in enumerate(nets):
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        for epoch, rate in enumerate((1, 0.75, 0.25)):
            optimizer.param_groups[0]["lr"] = 0.1 * rate
            for index in order(i, epoch, 256).split(32):
                optimizer.zero_grad()
                F.cross_entropy(net(data.train_x[index]), data.train_y[index]).backward()
                optimizer.step()
        expected = F.cross_entropy(net(data.test_x), data.test_y).item()
        assert rows[-1][i]["test_loss"] == pytest.approx(expected, abs=1e-10)


def test_a_run_that_was_cut_short_ends_as_it_would_have():
    whole = list(train_stack(DIGITS, [0, 1, 2], Job()))
    for cut in (3, len(whole) - 3, len(whole)):
        job = Job()
        rows = train_stack(DIGITS, [0, 1, 2], job)
        first = [next(rows) for _ in range(cut)]
        saved = job.state(cut)
        rest = list(train_stack(DIGITS, [0, 1, 2], Job(saved=saved)))

        def timeless(lists):
            return [[r and {**r, "group_time": 0} for r in rows] for rows in lists]

        assert timeless(first + rest) == timeless(whole)


def test_training_samples_set_aside_and_borders():
    plain, data = load("digits"), read(DIGITS, Job())
    assert torch.equal(torch.cat([data.train_x, data.validation_x]), plain.train_x)
    assert torch.equal(torch.cat([data.train_y, data.validation_y]), plain.train_y)
    assert torch.equal(data.test_x, plain.test_x)
    assert data.split.endswith("of train the last 200 for validation")
    images = replace(
        plain, train_x=plain.train_x.view(-1, 8, 8), test_x=plain.test_x.view(-1, 8, 8)
    )
    padded = images.validate(10).pad(2)
    assert padded.shape == (12, 12)
    assert torch.equal(padded.validation_x[:, 2:-2, 2:-2], images.train_x[-10:])
    assert padded.train_x.sum() == images.train_x[:-10].sum()
    with pytest.raises(ValueError, match="pad=2 is for images; a sample of digits has shape"):
        plain.pad(2)
    with pytest.raises(ValueError, match="would leave no training sample"):
        plain.validate(10_000)
    with pytest.raises(ValueError, match="patience needs a validation set"):
        replace(DIGITS, validation=0)
    with pytest.raises(ValueError, match="cooldown must not be longer than the training, got 31"):
        replace(DIGITS, cooldown=31)
    with pytest.raises(ValueError, match="cooldown must not be negative"):
        replace(DIGITS, cooldown=-1)


def test_gradient_step_without_plateau_is_as_before():
    net = stack([torch.nn.Linear(4, 3) for _ in range(2)])
    twin = stack([torch.nn.Linear(4, 3) for _ in range(2)])
    twin.load_state_dict(net.state_dict())
    x, y = torch.randn(2, 8, 4), torch.zeros(2, 8, dtype=torch.int64)
    for model, plateau in ((net, None), (twin, Plateau(2, 5))):
        gradient_step(model, torch.optim.SGD(model.parameters(), 0.1), plateau)(x, y)
    assert torch.equal(net.weight, twin.weight)
