"""The verbs `pack`, `unpack` and `sizes` of `python -m compress`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from compress.file import others
from compress.file import pack as packing
from compress.file.sizes import PURPOSES, Sizes, sizes
from harness import flags
from harness.record import store
from harness.record.checkpoint import load_checkpoint, save_checkpoint
from harness.result import export, screen

Place = Annotated[Path, tyro.conf.Positional]


@dataclass(frozen=True)
class Pack:
    """Makes a small file of a net's state: weights share values, zeros take next to nothing."""

    state: Annotated[Place, tyro.conf.arg(metavar="STATE.pt")]
    """A state_dict that torch.save has written, or the weights.pt of a run."""
    file: Annotated[Place, tyro.conf.arg(metavar="FILE")]
    """The file to be written."""
    bits: Literal[0, 1, 2, 3, 4, 5, 6, 7, 8, 16] = 4
    """The weights of a layer share 2^bits values; 16: each is a half; 0: they stay as they are."""
    whole: Annotated[
        tuple[str, ...], tyro.conf.arg(metavar="NAME", help_behavior_hint=flags.empty(""))
    ] = ()
    """Layers that are stored as they are, with * and ?."""
    json: bool = False
    """Print one object."""


@dataclass(frozen=True)
class Unpack:
    """Writes the state in a packed file as a state_dict that torch.load reads."""

    file: Annotated[Place, tyro.conf.arg(metavar="FILE")]
    """A packed net."""
    state: Annotated[Place, tyro.conf.arg(metavar="STATE.pt")]
    """The file to be written."""
    dense: bool = False
    """Write the weights of sparse layers as dense layers hold them."""
    most: int | None = None
    """Bytes that the tensors may take (default: 10,000 times the file)."""


@dataclass(frozen=True)
class Show:
    """Shows the bytes of a packed net by layer and purpose, and what the same net takes elsewhere.

    Huffman as Han counted, and the entropy, are counts: no such files are made.
    """

    file: Annotated[Place, tyro.conf.arg(metavar="FILE")]
    """A packed net."""
    count: Literal["file", "han"] = "file"
    """file: the bytes of the file; han: the bits of Deep Compression's account, layer by layer."""
    json: bool = False
    """Print a list of objects, one per layer and one per other way."""
    to: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write the table there: as .csv, .tex, .md or .json, by the name's ending."""
    most: int | None = None
    """Bytes that the tensors may take (default: 10,000 times the file)."""


def pack(argv: Sequence[str]) -> int:
    """Pack the state that the command line names."""
    options = flags.read(Pack, argv, "python -m compress pack")
    state = _state(options.state)
    packed = packing.pack(state, options.file, options.bits or None, whole=options.whole)
    found = {"file": str(packed.path), "bytes": packed.bytes, "whole": list(packed.whole)}
    if options.json:
        print(json.dumps(found))
        return 0
    print(f"{packed.path}: {packed.bytes:,} bytes (python -m compress sizes {packed.path})")
    for name in packed.whole if options.bits else ["all layers"]:
        print(f"stored whole, bit by bit: {name}")
    return 0


def _state(path: Path) -> Mapping[str, Any]:
    """Return the state dict in a file of torch.save; nothing in it is run."""
    try:
        found = load_checkpoint(path)
    except ValueError:  # (torch's own words advise to run what is in it)
        raise ValueError(
            f"{path} is no state_dict, or holds more than tensors and plain values: write one by "
            "torch.save(net.state_dict(), path)"
        ) from None
    if found is None:
        raise FileNotFoundError(f"no file {path}: name a state_dict that torch.save has written")
    if not isinstance(found, Mapping):
        raise ValueError(
            f"{path} holds {type(found).__name__}, expected a state_dict: write one by "
            "torch.save(net.state_dict(), path)"
        )
    states = [key for key, value in found.items() if _has_tensors(value)]
    if _has_tensors(found) or not states:
        return found
    if len(states) > 1:
        raise ValueError(
            f"{path} holds several states ({', '.join(map(repr, states))}), expected one: "
            f"torch.save(torch.load(path)[{states[0]!r}], 'state.pt'), and pack that"
        )
    return found[states[0]]


def _has_tensors(value: Any) -> bool:
    return isinstance(value, Mapping) and any(hasattr(x, "untyped_storage") for x in value.values())


def unpack(argv: Sequence[str]) -> int:
    """Unpack the file that the command line names."""
    options = flags.read(Unpack, argv, "python -m compress unpack")
    store.foldered(options.state)
    state = packing.unpack(options.file, most=options.most, dense=options.dense)
    save_checkpoint(options.state, state)
    print(f"{options.state}: {len(state)} tensors, for torch.load(path, weights_only=True)")
    return 0


def show(argv: Sequence[str]) -> int:
    """Show the sizes of the file that the command line names."""
    options = flags.read(Show, argv, "python -m compress sizes")
    export.check(options.to)
    found = sizes(options.file, options.most)
    tables = _of_han(found) if options.count == "han" else _of_file(found)
    objects = [line for lines in tables.values() for line in lines]
    if options.to:
        export.write(options.to, objects, *_cells(objects))
    if options.json:
        print(json.dumps(objects))
        return 0
    for title, lines in tables.items():
        if lines:
            screen.show(f"{options.file}: {title}", *_cells(lines))
        else:
            print(f"{options.file}: {title}: no layer has weights that this counts")
    return 0


Lines = list[dict[str, Any]]


def _of_file(found: Sizes) -> dict[str, Lines]:
    """Return the tables of the file, with only the purposes that it has, and of other ways."""
    lines = found.objects()
    empty = [purpose for purpose in PURPOSES if not lines[-1][purpose]]
    lines = [{k: v for k, v in line.items() if k not in empty} for line in lines]
    ways: Lines = [{"name": "this file", "bytes": found.total, "kind": "file"}]
    for name, size, file in others.others(found.state):
        ways.append({"name": name, "bytes": size, "kind": "file" if file else "counted"})
    for way in ways if found.dense else []:
        way["ratio"] = round(found.dense / way["bytes"], 1) if way["bytes"] else ""
    less = f"{found.dense / found.total:.1f} times less than float32"
    title = f"{found.total:,} bytes, {less if found.dense else 'no weights'}"
    return {title: lines, "the same net elsewhere": ways}


def _of_han(found: Sizes) -> dict[str, Lines]:
    """Return the table of bits as Deep Compression counts them."""
    counts = others.han(
        {k: x.float().numpy() for k, x in found.state.items() if hasattr(x, "ndim")}
    )
    lines: Lines = [asdict(c) | {"fixed": c.fixed, "bits": c.bits} for c in counts]
    bits = sum(c.bits for c in counts)
    title = f"{-(-bits // 8):,} bytes as Deep Compression counts, bits by layer (no file)"
    return {title: lines}


def _cells(lines: Lines) -> tuple[list[str], list[list[str]]]:
    keys = list(dict.fromkeys(key for line in lines for key in line))
    heads = [key.replace("_", " ") for key in keys]
    return heads, [[_text(line.get(key, "")) for key in keys] for line in lines]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:,}"
