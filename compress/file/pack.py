"""`pack(net, path, bits=4)` makes a small file of a net; `unpack(path)` reads it back, bit for bit.

    packed = pack(net, "net.iddlz", bits=4)
    packed.into(net)                    # a net is judged by the weights that its file holds
    state = unpack("net.iddlz")         # the same, in any process: packed.state, bit for bit
    unpack("net.iddlz", net)            # ... and loads it

Weights share 2^bits values a layer, by k-means; what is zero is not there. Codebooks, biases and
norms are halves. A net whose weights share values already (compress.share, trained and baked) keeps
its own. The file is decoded before it is written: what pack returns has been in it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bibd.layer import SparseLayer
from bibd.pattern import Pattern
from compress.file import container, reading, states
from compress.file.numbers import Damaged
from compress.file.writing import Bits, Options, asked, claim, encode, is_whole
from harness.names import fitting, kind_of
from harness.record import store
from harness.record.weights import load_state


@dataclass(frozen=True)
class Packed:
    """What pack has written.

    Attributes:
        path: The file.
        bytes: Its size.
        state: The state as it is in the file; the net is to be judged by it.
        patterns: Those of sparse layers, by the layers' names.
        whole: Names of real or complex tensors that are in it bit by bit, as no layer that pack
            knows has them, or as `whole` asked for it.
    """

    path: Path
    bytes: int
    state: Mapping[str, Any] = field(repr=False)
    patterns: Mapping[str, Pattern] = field(repr=False)
    whole: tuple[str, ...]

    def into(self, net: nn.Module) -> nn.Module:
        """Give a net the state that is in the file; returns it."""
        load_state(net, dict(self.state), str(self.path))
        return net


def pack(
    net: nn.Module | Mapping[str, Any],
    path: str | Path,
    bits: Bits = 4,
    *,
    whole: Sequence[str] | str = (),
    supersets: Mapping[str, Pattern] | None = None,
    describe: bool = True,
) -> Packed:
    """Write a net as a small file; a kill leaves the old file.

    Args:
        net: Any net, on any device, or its state_dict() (see compress.file.states). Of a level of
            tickets, the net of one seed: level.into(net, seed).
        path: The file.
        bits: The weights of a layer share 2^bits values (1 to 8); 16: each is a half; None: the
            layer is stored as it is, bit by bit, but for the sign of a zero. Or a mapping of
            layers' names, with * and ?. But for None, biases and norms are rounded to halves (of
            11 binary digits), or stored as singles where these do not hold them.
        whole: Names of layers that are stored as they are, with * and ?.
        supersets: Patterns by layers' names, of which a layer's weights are a part: only which
            part is stored, if that is shorter.
        describe: Store a pattern as family and seed where it can be.

    Raises:
        ValueError: weights that are not finite, and what cannot be stored, says which tensor; a
            name of no layer.
        OSError: the file could not be written, or its folder is not there.
    """
    if isinstance(net, str | PathLike):
        raise ValueError(f"the net comes first, then its file: pack(net, {str(net)!r})")
    path = store.foldered(path)
    found = states.parts(net)
    options = _options(found, bits, whole, supersets, describe)
    parts = [asked(part, options) for part in found]
    content = encode(parts, options)
    data = container.write(content)
    decoded = reading.decode(data, most=claim(content, parts))
    store.write(path, data)
    named = tuple(part.name for part in parts if is_whole(part))
    return Packed(path, len(data), decoded.state, decoded.patterns, named)


def _options(parts: Sequence[states.Part], bits: Bits, whole, supersets, describe) -> Options:
    """Return how a net is packed, if what is said of layers is said of some that there are."""
    layers = list(dict.fromkeys(part.layer for part in parts))
    fitting("layer with bits", tuple(bits) if isinstance(bits, Mapping) else (), layers)
    fitting("layer with a superset", tuple(supersets or ()), layers)
    return Options(bits, fitting("layer to store whole", whole, layers), supersets, describe)


def unpack(
    path: str | Path, net: nn.Module | None = None, *, most: int | None = None, dense: bool = False
) -> dict[str, Any]:
    """Return the state in a packed file, on the CPU, and load it into a net if one is given.

    Args:
        path: The file.
        net: One of the architecture that was packed, on any device.
        most: Bytes that the tensors may take; None: 10,000 times the file, or as the net's.
        dense: Take the weights of sparse layers as dense layers hold them.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file that is none, damaged, or of another net; the net is as it was.
    """
    if not isinstance(path, str | PathLike):
        own = repr(str(net)) if isinstance(net, str | PathLike) else "'net.iddlz'"
        raise ValueError(
            f"the file comes first, then the net that reads it: unpack({own}, net); got "
            f"{kind_of(path)} for the file"
        )
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder, and unpack reads one file that pack wrote")
    if not path.exists():
        raise FileNotFoundError(f"no file {path}: pack(net, {str(path)!r}) writes it")
    data = path.read_bytes()
    if net is not None and most is None:
        most = max(container.allowed(len(data)), 2 * _bytes(net.state_dict()))
    try:
        found = reading.decode(data, most, dense)
    except Damaged as error:
        raise ValueError(f"{path}: {error}") from None
    state = dict(found.state)
    if net is not None:
        try:
            load_state(net, state, str(path))
        except ValueError as error:
            raise ValueError(f"{error}{_hint(net, {} if dense else found.patterns)}") from None
    return state


def _hint(net: nn.Module, patterns: Mapping[str, Pattern]) -> str:
    """Return what to do about a net that is dense where the file has sparse layers."""
    modules = dict(net.named_modules())
    plain = [n for n in patterns if n in modules and not isinstance(modules[n], SparseLayer)]
    return bool(plain) * (
        f"\n{', '.join(map(repr, plain))} are sparse layers in the file and dense ones in the net: "
        "unpack(path, net, dense=True) loads them as they are; or make the net sparse before, "
        "bibd.sparsify(net, compress.patterns(path))"
    )


def patterns(path: str | Path, most: int | None = None) -> dict[str, Pattern]:
    """Return the patterns of the sparse layers in a packed file, to make these layers with."""
    try:
        return reading.decode(Path(path).read_bytes(), most).patterns
    except Damaged as error:
        raise ValueError(f"{path}: {error}") from None


def _bytes(state: Mapping[str, Any]) -> int:
    return sum(x.nbytes for x in state.values() if isinstance(x, torch.Tensor))
