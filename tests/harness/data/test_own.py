"""Data of a user's own: tensors, Datasets, CSV files, sets that a study registers."""

import re
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from harness.cli import main
from harness.data import DATASETS, Data, DataError, as_data, load
from harness.job import Job
from harness.sweep import modules
from harness.sweep.options import field_docs, parse
from mlp import trainer
from mlp.experiments import PLANS


def points(n=100, classes=4):
    y = torch.arange(n) % classes
    return torch.arange(n * 3.0).view(n, 3), y


def test_own_tensors_are_split_in_proportion_and_every_sample_is_in_one_part():
    x, y = points()
    d = Data.from_tensors(x, y, name="mine")
    assert (d.name, d.shape, d.classes) == ("mine", (3,), 4)
    assert d.split == "stratified by seed 0, 80 train / 20 test"
    assert d.test_y.bincount().tolist() == [5] * 4
    rows = torch.cat([d.train_x, d.test_x])
    assert torch.equal(rows[rows[:, 0].argsort()], x)
    assert torch.equal(d.train_y, (d.train_x[:, 0] / 3).long() % 4)  # targets went with them


def test_the_split_is_a_function_of_its_seed():
    x, y = points()
    first, again, other = (Data.from_tensors(x, y, seed=s).test_x for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len(Data.from_tensors(x, y, test=0.5).test_x) == 50


def test_small_data_keeps_every_class_in_both_parts():
    d = Data.from_tensors(np.eye(8), [0, 0, 1, 1, 2, 2, 3, 3])
    assert sorted(d.train_y.tolist()) == sorted(d.test_y.tolist()) == [0, 1, 2, 3]


def test_given_parts_are_taken_as_they_are():
    x, y = points()
    held = x[:10], y[:10]
    d = Data.from_tensors(x[20:], y[20:], test=held, validation=(x[10:20], y[10:20]))
    assert d.split == "given split, 80 train / 10 test / 10 validation"
    assert torch.equal(d.test_x, x[:10])
    assert torch.equal(d.validation_y, y[10:20])
    assert (d.train_x.dtype, d.train_y.dtype) == (torch.float32, torch.int64)


@pytest.mark.parametrize(
    ("x", "y", "options", "says"),
    [
        (torch.ones(4, 2), torch.zeros(3), {}, r"inputs of shape \(4, 2\) and targets of shape"),
        (torch.ones(4), torch.zeros(4), {}, "makes single values a column"),
        (torch.ones(0, 2), torch.zeros(0), {}, "at least one sample"),
        (torch.full((4, 2), torch.nan), [0, 1, 0, 1], {}, "hold NaN"),
        (torch.ones(4, 2), [0, 1, 0.5, 1], {}, "a target is 0.5; expected classes"),
        (torch.ones(4, 2), [0, 1, -1, 1], {}, "a target is -1.*whole numbers from 0"),
        (torch.ones(4, 2), ["a", "b", "a", "b"], {}, "are no array of numbers"),
        (torch.ones(3, 2), [0, 0, 1], {}, "class 1 has a single sample, a split needs two"),
        (torch.ones(4, 2), [0, 1, 0, 1], dict(test=1.5), "expected a share between 0 and 1"),
        (
            torch.ones(4, 2),
            [0, 1, 0, 1],
            dict(test=(torch.ones(2, 3), [0, 1])),
            r"test part of own data: samples of shape \(3,\); the training part has \(2,\)",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_refused_in_words(x, y, options, says):
    with pytest.raises(DataError, match=says):
        Data.from_tensors(x, y, **options)


def test_classes_that_are_counted_from_1_are_refused_with_what_to_type():
    x, y = points()
    with pytest.raises(DataError, match="the targets are 1 to 4 and none is 0"):
        Data.from_tensors(x, y + 1)
    given = Data.from_tensors(x, y, test=(x[:2], y[:2] * 0 + 1))  # (a test part may lack any)
    assert given.classes == 4


def test_a_validation_part_is_a_pair_or_a_sentence():
    d = Data.from_tensors(*points())
    with pytest.raises(ValueError, match=r"mine has no validation part: data\.validate\(size\)"):
        _ = replace(d, name="mine").validation
    with pytest.raises(ValueError, match=r"no number of samples: 0\.25 of 80 are validate\(20\)"):
        d.validate(0.25)
    x, y = d.validate(20).validation
    assert (x.shape, y.shape) == ((20, 3), (20,))


class Pictures(Dataset):
    """As torchvision gives them: PIL images and a number."""

    def __init__(self, n=12, sizes=(8,)):
        from PIL import Image

        grey = [np.full((sizes[i % len(sizes)],) * 2, 10 * i, np.uint8) for i in range(n)]
        self.items = [(Image.fromarray(g), i % 2) for i, g in enumerate(grey)]

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]  # (for i = -1 and so on too: it never ends by an IndexError)


def test_own_datasets_are_read_once_and_pictures_lie_between_0_and_1():
    d = Data.from_dataset(Pictures(), test=Pictures(4), name="grey")
    assert (d.shape, len(d.train_x), len(d.test_x)) == ((1, 8, 8), 12, 4)
    assert d.train_x[3].unique().item() == pytest.approx(30 / 255)
    assert d.images().shape == (1, 8, 8)
    x, y = points()
    assert torch.equal(Data.from_dataset(TensorDataset(x, y), test=(x, y)).train_x, x)


def test_a_stream_of_samples_is_a_dataset_too():
    class Stream(IterableDataset):
        def __iter__(self):
            return iter(zip(*points(), strict=True))

    assert len(Data.from_dataset(Stream()).train_x) == 80


def test_datasets_that_do_not_fit_are_refused_in_words():
    with pytest.raises(DataError, match=r"shapes \(1, 8, 8\) and \(1, 9, 9\); resize them first"):
        Data.from_dataset(Pictures(sizes=(8, 9)))
    with pytest.raises(DataError, match="item 0 is a Tensor; expected"):
        Data.from_dataset([torch.ones(2)])


@pytest.fixture
def flowers(tmp_path):
    """30 flowers of two kinds, told apart by their length."""
    lines = [f"{i % 2 * 5 + i / 100},{i},{('rose', 'iris')[i % 2]}" for i in range(30)]
    path = tmp_path / "flowers.csv"
    path.write_text("length,number,kind\n" + "\n".join(lines) + "\n")
    return path


def test_a_csv_file_is_numbers_and_classes(flowers):
    d = Data.from_csv(flowers, target="kind")
    assert (d.name, d.shape, d.names) == ("flowers", (2,), ("iris", "rose"))
    said = r"kind of flowers.csv \([0-9a-f]{8}\), stratified by seed 0, 24 train / 6 test, scaled"
    assert re.fullmatch(said, d.split)
    assert d.train_x.mean(0).abs().max() < 1e-5
    assert torch.equal(d.train_y, (d.train_x[:, 0] < 0).long())  # roses are short: class 1
    raw = Data.from_csv(flowers, "kind", drop=["number"], scale=False)
    assert raw.shape == (1,)
    assert raw.train_x.max() > 5


def test_a_test_file_has_the_classes_of_the_training_file(flowers, tmp_path):
    other = tmp_path / "other.csv"
    other.write_text("kind,number,length\nrose,1,0.5\niris,2,5.5\n")
    d = Data.from_csv(flowers, "kind", test=other, scale=False)
    assert d.test_y.tolist() == [1, 0]
    assert d.test_x.tolist() == [[0.5, 1.0], [5.5, 2.0]]
    other.write_text("kind,number,length\ntulip,1,0.5\n")
    with pytest.raises(
        DataError, match=r"other.csv.*class 'tulip', which the training part has not"
    ):
        Data.from_csv(flowers, "kind", test=other)


@pytest.mark.parametrize("values", [[3, 7], [3.0, 7.0], [True, False], ["no", "yes"]])
def test_classes_of_any_kind_are_counted_from_0(values, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,c\n" + "".join(f"{i},{values[i % 2]}\n" for i in range(20)))
    d = Data.from_csv(path)
    assert d.classes == len(d.names) == 2
    assert sorted(d.train_y.unique().tolist()) == [0, 1]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,c\n1,x\n,y\n", "column 'a' of .* has 1 empty or infinite cells, the first in line 3"),
        ("a,c\n1,x\n2,\n", "column 'c' of .* has 1 empty"),
        ("a,c\n1,x\ninf,y\n", "column 'a' of .* empty or infinite"),
        ("a,c\nred,x\nblue,y\n", "column 'a' of .* holds text such as 'red'"),
        ("a,c\n1,0.5\n2,1.5\n", "column 'c' of .* holds 0.5: what is predicted is a class"),
        ("a;c\n1;x\n", "1 lines of 1 columns below its head.*separated by commas"),
        ("a,c\n", "0 lines of 2 columns"),
        ("", "cannot be read as CSV"),
    ],
)
def test_files_that_do_not_fit_name_column_and_line(text, says, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=says):
        Data.from_csv(path)


def test_a_column_that_is_not_there_is_named_with_the_near_one(flowers, tmp_path):
    with pytest.raises(DataError, match="unknown column 'kid': did you mean 'kind'"):
        Data.from_csv(flowers, "kid")
    with pytest.raises(DataError, match=r"none.csv cannot be read as CSV"):
        Data.from_csv(tmp_path / "none.csv")


def test_a_plan_runs_on_a_csv_file(flowers):
    argv = ["--data", f"csv:{flowers}", "--epochs", "2"]
    _, overrides = parse("smoke", PLANS["smoke"], "mlp", argv)
    config = PLANS["smoke"].override(overrides).arms["MLP-3-1"]
    assert len(list(trainer.train(config, seed=0))) == 2
    assert trainer.describe(config, Job())["split"].startswith("kind of flowers.csv (")


@pytest.mark.parametrize("how", [["--jobs", "1"], ["--jobs", "2"], ["--dry-run"]])
@pytest.mark.parametrize("folder", ["mlp", "examples.wine"])
def test_a_csv_file_that_is_missing_is_told_once_before_anything_starts(
    folder, how, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    plans = modules.plans(folder)
    argv = ["smoke", "--data", "csv:none.csv:kind", "--results", "mine", *how]
    assert main(plans, folder, None, argv) == 2
    said = f"error: none.csv cannot be read as CSV: there is no such file in {tmp_path}\n"
    assert capsys.readouterr().err == said
    assert not list(tmp_path.iterdir())


def test_what_is_on_record_is_shown_without_the_file_that_it_was_trained_on(flowers, tmp_path):
    argv = ["smoke", "--data", f"csv:{flowers}", "--epochs", "1", "--seeds", "1", "--quiet"]
    argv += ["--arms", "MLP-3-1", "--jobs", "1", "--results", str(tmp_path / "mine")]
    assert main(PLANS, "mlp", None, argv) == 0
    flowers.unlink()
    assert main(PLANS, "mlp", None, argv) == 0


def test_the_target_column_and_a_file_with_a_colon_in_its_name(flowers):
    assert load(f"csv:{flowers}:kind").names == ("iris", "rose")
    with pytest.raises(DataError, match="holds text such as"):  # (kind is an input then)
        load(f"csv:{flowers}:number")
    odd = flowers.with_name("a:b.csv")
    flowers.rename(odd)
    assert load(f"csv:{odd}").names == load(f"csv:{odd}:kind").names == ("iris", "rose")
    with pytest.raises(ValueError, match="expected csv:FILE or csv:FILE:COLUMN"):
        load("csv:")


def test_a_csv_file_that_changes_is_read_again(flowers):
    before = load(f"csv:{flowers}")
    flowers.write_text(flowers.read_text() + "9,9,iris\n" * 10)
    after = load(f"csv:{flowers}")
    assert len(after.train_x) + len(after.test_x) == 40 > len(before.train_x) + len(before.test_x)
    assert after.split.split("(")[1][:8] != before.split.split("(")[1][:8]
    assert load(f"csv:{flowers}", test_split="holdout").names == ("iris", "rose")


def test_a_study_registers_a_set_of_its_own(monkeypatch):
    asked = []

    def mine(root, official):
        asked.append((root.name, official))
        return Data.from_tensors(*points(), name="mine")

    monkeypatch.setitem(DATASETS, "mine", mine)
    assert load("mine", "somewhere", "holdout").split == "holdout: last 16 of the training set"
    assert asked == [("somewhere", False)]
    assert "mine" in field_docs(type(next(iter(PLANS["smoke"].arms.values()))))["data"]
    monkeypatch.setitem(DATASETS, "mine", lambda *_: points())
    with pytest.raises(ValueError, match="loader of data set 'mine' returned a tuple"):
        load("mine")


def test_what_a_caller_may_mean_by_data():
    x, y = points()
    d = Data.from_tensors(x, y)
    assert as_data(d) is d
    assert torch.equal(as_data((x, y)).train_x, d.train_x)
    assert torch.equal(as_data(TensorDataset(x, y)).train_x, d.train_x)
    assert as_data("iris").name == "iris"
    for wrong in (x, 7, None):
        with pytest.raises(ValueError, match="data is the name of a data set, tensors"):
            as_data(wrong)


def test_map_changes_the_parts_that_are_there_and_no_other():
    x, y = points()
    d = Data.from_tensors(x, y)
    assert torch.equal(d.map(lambda x: x + 1).test_x, d.test_x + 1)
    only = d.map(lambda x: x * 0, ("test_x",))
    assert only.train_x is d.train_x
    assert not only.test_x.any()
    assert only.validation_x is None


def test_help_lists_what_the_code_knows():
    from bibd.families import FAMILIES
    from parallel.plans.config import STRATEGY_NAMES
    from parallel.plans.smoke import Every as Parallel
    from resnet.plans.config import Config as ResNet

    mlp = type(next(iter(PLANS["smoke"].arms.values())))
    for kind in (mlp, ResNet, Parallel):
        docs = field_docs(kind)
        assert set(docs) == {f.name for f in fields(kind)}
        assert all(name in docs["data"] for name in DATASETS)
        assert not any("{" in text for text in docs.values())
        if kind is not Parallel:
            assert all(name in docs["pattern"] for name in FAMILIES)
    assert all(name in field_docs(Parallel)["strategy"] for name in STRATEGY_NAMES)
