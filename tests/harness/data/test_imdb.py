"""Texts as numbers of words: what is read of aclImdb, what is refused, and what is kept."""

import hashlib
import io
import os
import tarfile
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from harness.data import Data, DataError, imdb, kept, load, names, registry, reviews, words
from harness.job import Job
from mlp import trainer as mlp_trainer
from mlp.plans.config import Config as MlpConfig

COUNT = 10


@pytest.fixture(autouse=True)
def _fresh(monkeypatch):
    registry._load.cache_clear()
    monkeypatch.setattr(reviews, "COUNT", COUNT)
    monkeypatch.delenv("IDDL_DATA", raising=False)
    yield
    registry._load.cache_clear()


def text(part, kind, i):
    return f"A {kind} film, it's {'bad ' * i}number{i} of the {part} part.<br />The END"


def fill(root):
    """AclImdb with ten texts of each class in each part, and files that nobody asked for."""
    for part in ("train", "test"):
        for kind, ratings in reviews.CLASSES.items():
            folder = root / "aclImdb" / part / kind
            folder.mkdir(parents=True)
            for i in range(COUNT):
                name = f"{i}_{ratings[i % len(ratings)]}.txt"
                (folder / name).write_text(text(part, kind, i), encoding="utf-8")
        (root / "aclImdb" / part / "urls_pos.txt").write_text("http://nowhere")
    (root / "aclImdb" / "train" / "unsup").mkdir()
    (root / "aclImdb" / "train" / "unsup" / "0_0.txt").write_text("unlabelled")
    (root / "aclImdb" / "train" / "pos" / ".DS_Store").write_bytes(b"\xff")


def pack(root):
    with tarfile.open(root / reviews.ARCHIVE, "w:gz") as archive:
        archive.add(root / "aclImdb", "aclImdb")


def drop(root):
    for path in sorted((root / "aclImdb").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (root / "aclImdb").rmdir()


@pytest.fixture
def root(tmp_path):
    fill(tmp_path)
    return tmp_path


def again(*args, **options):
    registry._load.cache_clear()
    return load("imdb", *args, **options)


def same(a, b):
    return all(
        torch.equal(getattr(a, k), getattr(b, k))
        for k in ("train_x", "train_y", "test_x", "test_y")
    )


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("It's GREAT!<br />A must-see.", ["it's", "great", "a", "must", "see"]),
        ("'quoted' don\u2019t rock'n'roll", ["quoted", "don't", "rock'n'roll"]),
        ("Am\u00e9lie (2001) 7/10 snake_case", ["am\u00e9lie", "2001", "7", "10", "snake", "case"]),
        ("...", []),
    ],
)
def test_a_word_is_a_run_of_letters_and_digits_with_apostrophes_inside(said, read):
    assert words.split(said) == read


def test_numbers_go_by_frequency_and_equals_by_alphabet():
    texts = [["b", "a", "c"], ["c", "d", "b"], ["c"]]
    assert words.vocabulary(texts, 10) == {"c": 2, "b": 3, "a": 4, "d": 5}
    assert words.vocabulary(reversed(texts), 3) == {"c": 2, "b": 3, "a": 4}


def test_a_text_is_cut_or_padded_at_its_end_and_rare_words_are_unknown():
    rows = words.encode([["a", "b", "z"], ["b"], []], {"a": 2, "b": 3}, 2)
    assert rows.tolist() == [[2, 3], [3, 0], [0, 0]]
    assert words.encode([["z"]], {"a": 2}, 3).tolist() == [[1, 0, 0]]


def test_the_largest_number_of_a_vocabulary_fits_its_array():
    numbers = {str(i): words.MARKS + i for i in range(2**16)}
    assert words.encode([[str(2**16 - 1)]], numbers, 1).tolist() == [[2**16 + 1]]


def test_the_official_split_of_a_folder(root):
    d = load("imdb", root, words=5, length=8)
    assert (d.name, d.shape, d.classes, d.tokens) == ("imdb", (8,), 2, True)
    assert d.names == ("negative", "positive")
    assert d.split == "official split, 20 train / 20 test"
    assert d.train_x.dtype == d.train_y.dtype == torch.int64
    assert d.train_y.tolist() == d.test_y.tolist() == [0, 1] * COUNT
    found = words.vocabulary(
        [words.split(text("train", k, i)) for i in range(COUNT) for k in ("neg", "pos")], 5
    )
    expected = words.encode([words.split(text("train", "pos", 3))], found, 8)
    assert torch.equal(d.train_x[7], torch.tensor(expected[0].astype(np.int64)))
    assert int(d.train_x.max()) == 5 + words.MARKS - 1


def test_options_have_the_published_defaults(root):
    d = load("imdb", root)
    assert d.shape == (200,)
    assert same(d, again(root, words=10_000, length=200))
    assert torch.equal(again(root, length=8).train_x, d.train_x[:, :8])


def test_the_archive_gives_what_the_folder_gives(root):
    unpacked = load("imdb", root, length=20)
    pack(root), drop(root)
    assert same(again(root, length=20), unpacked)
    assert same(again(root, length=20), unpacked)  # (from what was kept)


@pytest.mark.parametrize("packed", [False, True])
def test_a_holdout_reads_no_test_text_and_its_vocabulary_is_of_what_is_trained_on(root, packed):
    for i in range(8, COUNT):  # the last fifth of the training part
        path = next((root / "aclImdb/train/pos").glob(f"{i}_*.txt"))
        path.write_text("unheard " * 50, encoding="utf-8")
    next((root / "aclImdb/test/pos").glob("0_*.txt")).write_bytes(b"")  # nobody looks
    if packed:
        pack(root), drop(root)
    d = load("imdb", root, test_split="holdout", words=3, length=50)
    assert d.split == "holdout: last 4 of the training set"
    assert d.test_y.tolist() == [0, 1, 0, 1]
    assert (len(d.train_x), len(d.test_x)) == (16, 4)
    assert (d.test_x[1::2] == words.UNKNOWN).all()  # the most frequent word of all, were it counted
    with pytest.raises(DataError, match="is empty"):
        load("imdb", root, words=3, length=50)


def test_the_first_and_the_last_texts_are_balanced(root):
    d = load("imdb", root).first(6).validate(2)
    assert d.train_y.tolist() == [0, 1, 0, 1]
    assert d.validation_y.tolist() == [0, 1]


def test_nothing_there_says_what_to_type(tmp_path):
    with pytest.raises(DataError) as caught:
        load("imdb", tmp_path)
    said = str(caught.value)
    assert f"is not at {tmp_path}: neither the folder aclImdb nor aclImdb_v1.tar.gz" in said
    assert f"curl --create-dirs -o {tmp_path / reviews.ARCHIVE} https://ai.stanford.edu/" in said
    assert "--data-root" in said


def victim(root, what="train/pos", i=3):
    return next((root / "aclImdb" / what).glob(f"{i}_*.txt"))


def lose(root):
    victim(root).unlink()


def double(root):
    victim(root).with_name("3_10.txt" if victim(root).name != "3_10.txt" else "3_9.txt").write_text(
        "x"
    )


def misrate(root):
    victim(root).rename(victim(root).with_name("3_2.txt"))


def empty(root):
    victim(root).write_text(" \n")


def garble(root):
    victim(root).write_bytes(b"\xff\xfe\x00")


def more(root):
    (root / "aclImdb/train/pos/10_9.txt").write_text("one too many")


def cut_short(root):
    for file in (root / "aclImdb/test/neg").iterdir():
        file.unlink()
    (root / "aclImdb/test/neg").rmdir()


DAMAGE = {
    lose: r"train/pos.* has 9 texts, expected 10, .* the first that does not fit is 3\.",
    double: r"train/pos.* has 11 texts, expected 10, .* the first that does not fit is 3\.",
    more: r"train/pos.* has 11 texts, expected 10, .* the first that does not fit is 10\.",
    misrate: r"train/pos.* has 3_2.txt, a rating of the other class",
    empty: r"3_\d+.txt.* is empty",
    garble: r"3_\d+.txt.* is damaged: 'utf-8' codec can't decode byte 0xff",
    cut_short: r"test/neg.* has 0 texts, expected 10",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_folder_that_is_not_as_published_is_refused(root, damage):
    damage(root)
    with pytest.raises(DataError, match=DAMAGE[damage]) as caught:
        load("imdb", root)
    assert f"tar -xzf {root / reviews.ARCHIVE} -C {root}" in str(caught.value)


@pytest.mark.parametrize("damage", DAMAGE)
def test_an_archive_of_such_texts_is_refused_too(root, damage):
    damage(root), pack(root), drop(root)
    with pytest.raises(DataError, match=DAMAGE[damage]) as caught:
        load("imdb", root)
    assert "Delete it and fetch it again: curl" in str(caught.value)


@pytest.mark.parametrize("keep", [0.0, 0.2, 0.9, 0.999])
def test_a_truncated_archive_is_refused(root, keep):
    pack(root), drop(root)
    path = root / reviews.ARCHIVE
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(DataError, match=r"is damaged or truncated .*fetch it again"):
        load("imdb", root)


def test_one_bit_of_an_archive_that_differs_is_noticed(root):
    """Also behind the last text, where no text is hurt: the checksum at the end of gzip says so."""
    pack(root), drop(root)
    path = root / reviews.ARCHIVE
    content = bytearray(path.read_bytes())
    content[-6] ^= 1  # of the checksum itself
    path.write_bytes(content)
    with pytest.raises(DataError, match="is damaged or truncated"):
        load("imdb", root)


def refuse(self, parts):
    raise AssertionError("the texts were read again")


def test_what_was_read_is_kept_and_not_read_again(root, monkeypatch):
    first = load("imdb", root, length=9)
    monkeypatch.setattr(reviews.Folder, "read", refuse)
    assert same(again(root, length=9), first)
    with pytest.raises(AssertionError):
        again(root, length=8)
    assert not [p for p in (root / "imdb-tokens").iterdir() if p.name.startswith(".")]


@pytest.mark.parametrize("change", ["text", "rule"])
def test_another_text_or_rule_makes_it_anew(root, monkeypatch, change):
    first = load("imdb", root, words=60, length=9)
    if change == "text":
        victim(root).write_text("entirely different")
    else:
        monkeypatch.setattr(words, "RULE", words.RULE + 1)
        monkeypatch.setattr(words, "split", str.split)
    assert not same(again(root, words=60, length=9), first)


@pytest.mark.parametrize("damage", ["truncated", "bit", "empty", "foreign"])
def test_a_damaged_file_of_what_was_kept_is_made_anew(root, damage):
    first = load("imdb", root, length=9)
    (path,) = (root / "imdb-tokens").iterdir()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= damage == "bit"
    cut = {"truncated": len(content) // 2, "empty": 0}.get(damage, len(content))
    path.write_bytes(b"something else" if damage == "foreign" else content[:cut])
    assert same(again(root, length=9), first)
    with path.open("rb") as file:  # and is whole again
        assert file.read(32) == hashlib.sha256(file.read()).digest()


def test_nothing_is_kept_half_written(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    arrays = {"x": np.arange(3)}
    monkeypatch.setattr(os, "replace", full)
    assert kept.kept(tmp_path / "a" / "b", "key", lambda: arrays) is arrays
    assert list((tmp_path / "a").iterdir()) == []


def test_a_file_in_place_of_the_folder_of_what_is_kept_is_no_harm(root):
    (root / "imdb-tokens").write_text("in the way")
    assert len(load("imdb", root).train_x) == 2 * COUNT


@dataclass
class Study:
    """A config that has more to say than any one set takes."""

    data: str
    words: int = 7
    length: int = 5
    depth: int = 3


def test_a_config_tells_its_data_set_what_it_takes(root):
    assert names.options(Study("imdb")) == {"words": 7, "length": 5}
    assert names.options(Study("digits")) == {}
    assert names.options(Study("csv:x.csv")) == {}
    d = load("imdb", root, **names.options(Study("imdb")))
    assert same(d, again(root, words=7, length=5))
    assert not same(d, again(root, words=3, length=5))


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("imdb", {"lenght": 3}, "unknown option of data set imdb 'lenght': did you mean 'length'"),
        ("imdb", {"length": 0}, "length of imdb is a whole number, 1 or more, got 0"),
        ("imdb", {"words": 1.5}, "words of imdb is a whole number, 1 or more, got 1.5"),
        ("digits", {"length": 3}, "data set 'digits' takes no options, got length="),
        ("csv:x.csv", {"length": 3}, "data set 'csv:x.csv' takes no options, got length="),
    ],
)
def test_options_that_are_none(root, name, options, said):
    with pytest.raises(ValueError, match=said):
        load(name, root, **options)


def test_nothing_weighs_or_scales_numbers_of_words(root):
    d = load("imdb", root, length=64)  # (as many as an image of 8 x 8)
    assert torch.equal(d.flatten().train_x, d.train_x)
    for refused in (d.scaled, d.amounts):
        with pytest.raises(ValueError, match="inputs of imdb are numbers of words"):
            refused()
    with pytest.raises(ValueError, match="imdb has no images"):
        d.images()
    with pytest.raises(ValueError, match="pad=2 is for images"):
        d.pad(2)
    assert load("digits").amounts().tokens is False


def test_a_study_of_fully_connected_nets_refuses_texts_before_it_trains(root):
    with pytest.raises(ValueError, match="begins with an embedding"):
        mlp_trainer.check(MlpConfig(data="imdb", hidden=(8,)), Job(data_root=str(root)))


def test_own_texts_stay_whole_numbers():
    x, y = torch.arange(40).view(10, 4), torch.arange(10) % 2
    d = Data.from_tensors(x, y, test=(x[:2].int(), y[:2]), validation=(x[:1], y[:1]), tokens=True)
    assert d.tokens
    assert d.train_x.dtype == d.test_x.dtype == d.validation_x.dtype == torch.int64
    assert not Data.from_tensors(x, y).tokens
    for wrong in (x.float(), x - 1):
        with pytest.raises(DataError, match="tokens are whole numbers from 0 on"):
            Data.from_tensors(wrong, y, tokens=True)


def test_links_and_folders_in_an_archive_are_no_texts(root):
    pack(root), drop(root)
    with tarfile.open(root / "other.tar.gz", "w:gz") as target:
        with tarfile.open(root / reviews.ARCHIVE) as old:
            for member in old:
                target.addfile(member, old.extractfile(member) if member.isfile() else None)
        link = tarfile.TarInfo("aclImdb/train/pos/../../../../etc")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        target.addfile(link)
        target.addfile(tarfile.TarInfo("/aclImdb/train/pos/99_9.txt"), io.BytesIO())
    (root / "other.tar.gz").rename(root / reviews.ARCHIVE)
    assert len(load("imdb", root).train_x) == 2 * COUNT
    assert imdb.NAMES == ("negative", "positive")
