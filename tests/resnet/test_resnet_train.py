"""Training: pictures, rows, resuming to the bit, weights, and what goes wrong in words."""

import copy
import dataclasses

import pytest
import torch

from harness.data import Data, load
from harness.data.pictures import NORMS, Batches, images
from harness.exits import EarlyExit
from harness.job import Job
from harness.plan import arm_key
from harness.record import weights
from resnet import trainer
from resnet.experiments import PLANS, VERBS
from resnet.model import resnet
from resnet.plans.config import QUICK, Config
from resnet.plans.parts import FACTORS
from resnet.plans.published import PUBLISHED
from resnet.trainer import describe, evaluate, rate, train

TINY = dataclasses.replace(
    QUICK, depth=10, width=4, epochs=2, batch_size=64, data="digits", test_split="official"
)
LAST = torch.channels_last


def pictures(n=30, shape=(3, 32, 32)):
    g = torch.Generator().manual_seed(0)
    x, y = torch.rand(n, *shape, generator=g), torch.arange(n) % 10
    return Data("cifar10", "none", x, y, x, y)


@pytest.mark.parametrize("layout", [LAST, torch.contiguous_format])
@pytest.mark.parametrize("augment", ["none", "crop", "flip"])
def test_batches_by_a_plain_loop(augment, layout):
    """Crop of the image with a black border, flip, then normalise: one image at a time."""
    data = pictures()
    batches = Batches(data, augment, seed=7, layout=layout)
    batches.begin(2)
    index = torch.tensor([3, 29, 0, 3, 11])
    x, y = batches.draw(index)
    assert x.is_contiguous(memory_format=layout)
    assert y.tolist() == [3, 9, 0, 3, 1]
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in NORMS["cifar10"])
    border = 0 if augment == "none" else 4
    for got, i in zip(x, index.tolist(), strict=True):
        top, left, flip = batches.moves[i].tolist()
        wide = torch.zeros(3, 32 + 2 * border, 32 + 2 * border)
        wide[:, border : border + 32, border : border + 32] = data.train_x[i]
        crop = wide[:, top : top + 32, left : left + 32]
        crop = crop.flip(2) if flip else crop
        assert torch.allclose(got, (crop - mean) / std, atol=1e-5)
    moves = batches.moves.clone()
    assert moves.max() <= 8
    assert (moves[:, 2].unique().tolist() == [0, 1]) == (augment == "flip")
    if augment != "none":
        assert set(moves[:, 0].tolist()) == set(range(9))
        batches.begin(3)
        assert not torch.equal(moves, batches.moves)
    batches.begin(2)
    assert torch.equal(moves, batches.moves)  # a function of (seed, epoch)


def test_what_a_test_sees_is_what_training_sees_unmoved():
    for data in (pictures(), load("digits").images()):
        batches = Batches(data, "none", 0, LAST)
        x, _ = batches.draw(torch.arange(5))
        assert torch.allclose(x, images(data.train_x[:5], data, LAST), atol=1e-5)
    digits = load("digits").images()
    assert digits.shape == (1, 8, 8)
    everything = images(digits.train_x, digits, LAST)
    assert everything.mean().abs() < 1e-4
    assert (everything.std() - 1).abs() < 1e-3


@pytest.mark.parametrize("name", ["digits", "synthetic", "synthetic_images"])
def test_rows_have_every_criterion(name):
    config = dataclasses.replace(TINY, data=name, epochs=1)
    (row,) = train(config, 3)
    criteria = {"epoch", "train_loss", "test_loss", "test_accuracy", "train_time", "inference_time"}
    assert criteria <= set(row)
    facts = describe(config, Job())
    assert {"parameters", "flops", "flops_iddl", "macs", "bytes", "split", "labels"} <= set(facts)


def test_the_training_loss_is_the_mean_over_all_samples(monkeypatch):
    """Of a net that does not learn, with a last batch that is smaller."""
    config = dataclasses.replace(TINY, lr=1e-30, weight_decay=0.0, epochs=1, augment="none")
    seen = []
    step = trainer.step

    def watch(config, net, optimizer, x, y):
        seen.append((len(x), step(config, net, optimizer, x, y)))
        return seen[-1][1]

    monkeypatch.setattr(trainer, "step", watch)
    (row,) = train(config, 0)
    assert {n for n, _ in seen} == {64, 1437 % 64}
    mean = sum(n * float(loss[-1]) for n, loss in seen) / 1437
    assert row["train_loss"] == pytest.approx(mean, rel=1e-6)


def test_evaluation_by_hand():
    net = resnet(10, width=4, shape=(1, 8, 8), exits=(2,)).eval()
    x, y = torch.randn(300, 1, 8, 8), torch.randint(10, (300,))
    loss, accuracy = evaluate(net, x, y)
    with torch.no_grad():
        for i, logits in enumerate(net.forward_exits(x)):
            by_hand = torch.nn.functional.cross_entropy(logits.double(), y)
            assert loss[i].item() == pytest.approx(by_hand.item(), rel=1e-5)
            assert accuracy[i].item() == (logits.argmax(1) == y).double().mean().item()


def rows_of(config, job):
    keep = []
    for row in train(config, 1, job):
        row.pop("train_time"), row.pop("inference_time")
        keep.append(row)
    return keep


@pytest.mark.parametrize(
    "changes",
    [
        dict(),
        dict(pattern="random_biregular", groups=2, width=8),
        dict(exits=(2, 3), head="pool", exit_loss="frozen", validation=200, preact=True),
    ],
    ids=["dense", "sparse", "exits"],
)
def test_a_run_that_goes_on_ends_where_an_uninterrupted_one_does(changes):
    config = dataclasses.replace(TINY, epochs=3, augment="crop", **changes)
    whole = Job()
    expected = rows_of(config, whole)
    first = Job()
    it = train(config, 1, first)
    next(it)
    saved = copy.deepcopy(first.state(1))
    it.close()
    second = Job(saved=saved)
    assert rows_of(config, second) == expected[1:]
    for a, b in zip(
        whole.parts["net"].state_dict().values(),
        second.parts["net"].state_dict().values(),
        strict=True,
    ):
        assert torch.equal(a, b)


def test_half_precision_trains_too():
    (row,) = train(dataclasses.replace(TINY, autocast=True, epochs=1, width=8), 0)
    assert row["train_loss"] < 2.5
    (exact,) = train(dataclasses.replace(TINY, epochs=1, width=8), 0)
    assert row["train_loss"] == pytest.approx(exact["train_loss"], abs=0.1)


def test_rates():
    config = dataclasses.replace(TINY, lr=0.4, schedule="cosine")
    found = [rate(config, k, 100) for k in range(100)]
    assert max(found) == pytest.approx(0.4, rel=0.01)
    assert found.index(max(found)) in (4, 5)
    assert found[:5] == sorted(found[:5])
    assert found[5:] == sorted(found[5:], reverse=True)
    assert found[-1] < 0.001
    assert {rate(dataclasses.replace(config, schedule="constant"), k, 9) for k in range(9)} == {0.4}


def test_frozen_heads_learn_plainly_and_the_trunk_as_without_them():
    frozen = dataclasses.replace(TINY, exits=(2,), exit_loss="frozen", epochs=1)
    net = trainer.build(frozen, load("digits").images(), 0)
    trunk, heads = trainer.make_optimizer(frozen, net).param_groups
    assert (trunk["momentum"], heads["momentum"], heads["weight_decay"]) == (0.9, 0, 0)
    (row,) = train(frozen, 0)
    (plain,) = train(dataclasses.replace(frozen, exits=()), 0)
    assert row["test_accuracy"] == plain["test_accuracy"]
    assert row["train_loss"] == plain["train_loss"]
    assert row["exit_accuracy"][-1] == plain["test_accuracy"]


def test_the_last_row_has_the_exits():
    config = dataclasses.replace(TINY, exits=(2, 3), validation=300)
    *_, row = train(config, 0)
    found = row["exits"]
    assert found["curve"][-1]["accuracy"] == pytest.approx(row["test_accuracy"])
    assert found["curve"][0]["accuracy"] == pytest.approx(row["exit_accuracy"][0])
    assert found["macs"] == describe(config, Job())["exit_macs"]
    for line in found["fitted"]:
        assert "error" in line or line["held_out"]["macs"] <= found["macs"][-1]
    assert "of train the last 300 for validation" in describe(config, Job())["split"]


def test_half_precision_exits_are_those_that_are_reported():
    config = dataclasses.replace(TINY, exits=(2, 3), validation=300, autocast=True)
    *_, row = train(config, 0)
    assert row["exits"]["curve"][-1]["accuracy"] == pytest.approx(row["test_accuracy"], abs=1e-9)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--first", "9999"], "ResNet-10: synthetic_images has 1200 training samples, not 9999"),
        (["--data", "iris"], "ResNet-10: iris has no images"),
        (["--batch-size", "1199"], "leave a last batch of one"),
        (["--match", "bibd"], "match='bibd' is for patterns whose count can be chosen"),
        (["--exits", "7"], "--exits is no option of smoke"),
        (["--groups", "3"], "--groups is no option of smoke"),
    ],
    ids=str,
)
def test_what_cannot_train_is_refused_before_anything_does(words, text, tmp_path, capsys):
    from harness.cli import main

    argv = ["smoke", "--arms", "ResNet-10", "--seeds", "1", "--jobs", "1", "--quiet", *words]
    assert main(PLANS, "resnet", None, [*argv, "--results", str(tmp_path)]) == 2
    assert text in capsys.readouterr().err
    assert not list(tmp_path.rglob("run.json"))


def test_the_last_batch_hint_works():
    for n, batch in ((7, 2), (1200, 1199), (61, 4)):
        data = pictures(n)
        with pytest.raises(ValueError, match="--batch-size") as caught:
            trainer.check_last_batch(dataclasses.replace(TINY, batch_size=batch), data)
        fits = int(str(caught.value).rsplit(" ", 1)[1])
        trainer.check_last_batch(dataclasses.replace(TINY, batch_size=fits), data)


def test_classes_that_a_cut_has_lost_are_still_there():
    data = load("synthetic_images").first(3)
    assert data.classes == 10


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["bench", "--arms", "ResNet-18-EF"], "did you mean 'ResNet-18-EE'"),
        (["bench", "--arms"], "bench needs an arm"),
        (["bench", "--seed", "-1"], "got 2 arms, 9, -1, 0"),
        (["costs", "--depths"], "costs needs at least one of --depths"),
    ],
    ids=str,
)
def test_verbs_refuse_in_a_sentence(words, text, capsys):
    from harness.cli import main

    try:
        status = main(PLANS, "resnet", VERBS, words)
    except SystemExit as end:  # of tyro
        status = end.code
    plain = capsys.readouterr().err.translate(str.maketrans("│╭╮╰╯─", "      "))
    assert status == 2
    assert text in " ".join(plain.split())


def test_a_loss_that_is_lost_is_named():
    config = dataclasses.replace(TINY, lr=1e30, epochs=1, schedule="constant")
    (row,) = train(config, 0)
    assert "the loss became NaN or infinite at step" in row["failed"]


def test_out_of_memory_says_what_to_lower(monkeypatch):
    def full(*_):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes")

    monkeypatch.setattr(trainer, "step", full)
    with pytest.raises(MemoryError, match=r"batch_size=64, depth 10, width 4: lower --batch-size"):
        next(train(TINY, 0))

    def other(*_):
        raise RuntimeError("something else")

    monkeypatch.setattr(trainer, "step", other)
    with pytest.raises(RuntimeError, match="something else"):
        next(train(TINY, 0))


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (dict(batch_size=1), "batch_size must be at least 2, got 1: batch norms compare samples"),
        (dict(groups=3), "groups=3 must divide the 64 channels"),
        (dict(depth=19), "unknown depth '19': did you mean '18'"),
        (dict(schedule="cosin"), "unknown schedule 'cosin': did you mean 'cosine'"),
        (dict(exit_loss="both"), "unknown exit loss 'both'"),
        (dict(data="cifar"), "unknown data set 'cifar': did you mean 'cifar10'"),
        (dict(exits=(2, 9)), "no exit after stage 9: this net has stages 0 to 5"),
        (dict(exits=(3, 2)), "ascending order"),
        (dict(criterion="entropi"), "unknown criterion 'entropi': did you mean 'entropy'"),
        (dict(match="idd"), "unknown pattern 'idd': did you mean 'iddl'"),
        (dict(validation=-1), "validation must not be negative, got -1"),
        (dict(momentum=1.0), r"momentum in \[0, 1\), got 0.01 and 1.0"),
    ],
    ids=str,
)
def test_wrong_configs(wrong, text):
    with pytest.raises(ValueError, match=text):
        Config(**wrong)


def test_wrong_data():
    with pytest.raises(ValueError, match=r"a last batch of one.*choose --batch-size 360"):
        next(train(dataclasses.replace(TINY, batch_size=359), 0))  # 1437 = 4 * 359 + 1
    with pytest.raises(ValueError, match=r"iris has no images \(a sample has shape \(4,\)\)"):
        next(train(dataclasses.replace(TINY, data="iris"), 0))
    with pytest.raises(ValueError, match="digits has 1437 training samples, not 5000"):
        next(train(dataclasses.replace(TINY, first=5000), 0))


def test_weights_come_whole_or_not_at_all(tmp_path):
    net = resnet(10, "bibd", width=8, exits=(2,))
    weights.save(tmp_path, net)
    again = resnet(10, "bibd", width=8, exits=(2,), seed=1)
    weights.load(tmp_path / weights.FILE, again)
    for a, b in zip(net.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    for other, text in {
        resnet(10, "bibd", width=8): r"differences:(\n.*)+heads.0.0.bias: only in the file",
        resnet(
            10, "bibd", width=16, exits=(2,)
        ): r"\(16, 3, 3, 3\) floats in the model, \(8, 3, 3, 3\)",
        resnet(10, "dense", width=8, exits=(2,)): "of another architecture, nothing was loaded",
        resnet(10, "bibd", width=8, exits=(2,), relabel=True): "these values belong to pattern",
    }.items():
        before = {k: v.clone() for k, v in other.state_dict().items()}
        with pytest.raises(ValueError, match=text):
            weights.load(tmp_path / weights.FILE, other)
        for key, value in other.state_dict().items():
            assert torch.equal(value, before[key]), key
    torch.save(net.state_dict(), tmp_path / "bare.pt")
    torch.save([1], tmp_path / "list.pt")
    for name in ("bare.pt", "list.pt"):
        with pytest.raises(ValueError, match="holds no trained weights of a run"):
            weights.load(tmp_path / name, again)
    whole = {
        k: v.to(torch.complex64) if v.is_floating_point() else v
        for k, v in net.state_dict().items()
    }
    with pytest.raises(ValueError, match=r"floats in the model, .* complex64 in the file"):
        weights.load_state(again, whole)
    with pytest.raises(FileNotFoundError, match=r"no trained weights at .*: train it"):
        weights.load(tmp_path / "none.pt", again, "train it")
    (tmp_path / "bad.pt").write_bytes(b"PK nonsense")
    with pytest.raises(ValueError, match=r"bad\.pt is damaged"):
        weights.load(tmp_path / "bad.pt", again)


def test_plans_are_what_they_say():
    for plan in PLANS.values():
        assert len(plan.seeds) >= 3
        assert len({arm_key(k, v) for k, v in plan.arms.items()}) == len(plan.arms)
        for pair in plan.compare:
            assert set(pair) <= set(plan.arms)
    paper = PLANS["paper"].arms
    assert set(paper) == set(PUBLISHED)
    c = paper["B-ResNet-50"]
    assert (c.lr, c.momentum, c.batch_size, c.epochs, c.weight_decay) == (0.01, 0.5, 128, 50, 0)
    assert (c.init, c.schedule, c.augment, c.width, c.groups) == (
        "dense",
        "constant",
        "flip",
        64,
        1,
    )
    assert all(
        c.test_split == "holdout" for n, p in PLANS.items() if n != "smoke" for c in p.arms.values()
    )
    cells = {(c.pattern, c.groups, c.exits) for c in PLANS["factors"].arms.values()}
    assert len(cells) == len(PLANS["factors"].arms) == 3 * 3 * 2
    assert all({c[i] for c in cells} == set(FACTORS[n]) for i, n in enumerate(FACTORS))
    assert isinstance(trainer.build(PLANS["exits"].arms["ResNet-18-EE"], pictures(), 0), EarlyExit)
