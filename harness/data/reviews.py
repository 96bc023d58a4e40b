"""The Large Movie Review Dataset as it is published: a folder of texts, or the archive of it.

    aclImdb/train/neg/0_3.txt  aclImdb/train/pos/0_9.txt  aclImdb/test/...      <id>_<rating>.txt
    aclImdb_v1.tar.gz                                                           the same, packed

Both parts have 12,500 texts of each class, whose ids run from 0 on; nothing is read as it is if one
is missing, bears a rating of the other class, is empty or is no UTF-8. The unlabelled texts and the
lists of words that come with them are not read.
"""

import gzip
import hashlib
import os
import re
import tarfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

from harness.data.names import DataError

FOLDER, ARCHIVE = "aclImdb", "aclImdb_v1.tar.gz"
HOME = f"https://ai.stanford.edu/~amaas/data/sentiment/{ARCHIVE}"
COUNT = 12_500  # texts of each class in each part
CLASSES = {"neg": range(1, 5), "pos": range(7, 11)}  # and their ratings
_NAME = re.compile(r"(\d+)_(\d+)\.txt")
Texts = dict[str, list[str]]  # of each folder, such as train/neg, by their ids


class Folder:
    """The unpacked texts."""

    def __init__(self, path: Path):
        self.path = path

    def stamp(self, parts: list[str]) -> str:
        """Changes with the name, the size or the time of any text of these parts."""
        lines = []
        for folder in (self.path / key for key in _keys(parts) if (self.path / key).is_dir()):
            with os.scandir(folder) as files:
                found = ((file.name, file.stat()) for file in files)
                lines += sorted(f"{name} {s.st_size} {s.st_mtime_ns}" for name, s in found)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def read(self, parts: list[str]) -> Texts:
        """The texts of these parts, such as train, by class.

        Raises:
            DataError: what is not as it was published, and what to type.
        """
        texts = {}
        for key, ratings in _keys(parts).items():
            folder = self.path / key
            names = os.listdir(folder) if folder.is_dir() else []
            ordered = _ordered(names, folder, ratings, self._again)
            read = ((name, (folder / name).read_bytes()) for name in ordered)
            texts[key] = [_text(raw, folder / name, self._again) for name, raw in read]
        return texts

    def _again(self) -> str:
        root = self.path.parent
        return f"Delete {self.path} and unpack it again: tar -xzf {root / ARCHIVE} -C {root}"


class Archive:
    """The packed ones, read without unpacking them to the disk."""

    def __init__(self, path: Path):
        self.path = path

    def stamp(self, parts: list[str]) -> str:
        """The SHA-256 of the archive, with any parts."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def read(self, parts: list[str]) -> Texts:
        """The texts of these parts by class; errors as of Folder."""
        keys = _keys(parts)
        try:
            held = self._members(list(keys))
        except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
            raise DataError(
                f"{self.path} is damaged or truncated ({error}). {self._again()}"
            ) from None
        texts = {}
        for key, found in held.items():
            where = f"{FOLDER}/{key} in {self.path}"
            names = _ordered(found, where, keys[key], self._again)
            texts[key] = [_text(found[n], f"{n} of {where}", self._again) for n in names]
        return texts

    def _members(self, keys: list[str]) -> dict[str, dict[str, bytes]]:
        """The content of each text, by folder and name."""
        held: dict[str, dict[str, bytes]] = {key: {} for key in keys}
        with gzip.open(self.path) as unpacked:
            with tarfile.open(fileobj=unpacked, mode="r:") as archive:
                for member in archive:
                    key, _, name = (
                        member.name.removeprefix("./").removeprefix(f"{FOLDER}/").rpartition("/")
                    )
                    if key in held and (file := archive.extractfile(member)):
                        held[key][name] = file.read()
            while unpacked.read(1 << 20):  # to the end, where the checksum stands
                pass
        return held

    def _again(self) -> str:
        return f"Delete it and fetch it again: {fetching(self.path.parent)}"


def source(root: Path) -> Folder | Archive:
    """The folder where it is there, else the archive.

    Raises:
        DataError: neither is there; says how to get them.
    """
    if (root / FOLDER).is_dir():
        return Folder(root / FOLDER)
    if (root / ARCHIVE).exists():
        return Archive(root / ARCHIVE)
    raise DataError(
        f"data set 'imdb' is not at {root}: neither the folder {FOLDER} nor {ARCHIVE} is there. "
        f"Fetch it (80 MB): {fetching(root)}; or name another root with --data-root or IDDL_DATA"
    )


def fetching(root: Path) -> str:
    """What to type."""
    return f"curl --create-dirs -o {root / ARCHIVE} {HOME}"


def _keys(parts: list[str]) -> dict[str, range]:
    """The folders of these parts, and the ratings of their texts."""
    return {f"{part}/{kind}": ratings for part in parts for kind, ratings in CLASSES.items()}


def _ordered(
    names: Iterable[str], where: object, ratings: range, again: Callable[[], str]
) -> list[str]:
    """The names of the texts by their ids.

    Raises:
        DataError: one is missing or is there twice, or has a rating of the other class.
    """
    found: dict[int, list[re.Match[str]]] = {}
    for match in filter(None, map(_NAME.fullmatch, names)):
        found.setdefault(int(match[1]), []).append(match)
    wrong = next((i for i in range(COUNT) if len(found.get(i, ())) != 1), min(COUNT, len(found)))
    if wrong < COUNT or len(found) > COUNT:
        got = sum(map(len, found.values()))
        raise DataError(
            f"{where} has {got:,} texts, expected {COUNT:,}, one for each "
            f"id from 0 on; the first that does not fit is {wrong}. {again()}"
        )
    texts = [found[i][0] for i in range(COUNT)]
    for text in texts:
        if int(text[2]) not in ratings:
            raise DataError(f"{where} has {text[0]}, a rating of the other class. {again()}")
    return [text[0] for text in texts]


def _text(raw: bytes, where: object, again: Callable[[], str]) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{where} is damaged: {error}. {again()}") from None
    if not text.strip():
        raise DataError(f"{where} is empty. {again()}")
    return text
