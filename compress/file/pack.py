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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bibd.pattern import Pattern
from compress.file import container, reading, states
from compress.file.numbers import Damaged
from compress.file.writing import Bits, Options, asked, claim, encode, is_whole
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
        whole: Names of floating tensors that are in it bit by bit, as no layer that pack knows has
            them, or as `whole` asked for it.
    """

    path: Path
    bytes: int
    state: Mapping[str, Any]
    patterns: Mapping[str, Pattern]
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
    whole: Sequence[str] = (),
    supersets: Mapping[str, Pattern] | None = None,
    describe: bool = True,
) -> Packed:
    """Write a net as a small file; a kill leaves the old file.

    Args:
        net: Any net, on any device, or its state_dict() (see compress.file.states).
        path: The file.
        bits: The weights of a layer share 2^bits values (1 to 8); 16: each is a half; None: the
            layer is stored as it is, bit by bit, but for the sign of a zero. Or a mapping of
            layers' names, with * and ?.
        whole: Names of layers that are stored as they are, with * and ?.
        supersets: Patterns by layers' names, of which a layer's weights are a part: only which
            part is stored, if that is shorter.
        describe: Store a pattern as family and seed where it can be.

    Raises:
        ValueError: weights that are not finite, and what cannot be stored; says which tensor.
        OSError: the file could not be written.
    """
    path, options = Path(path), Options(bits, tuple(whole), supersets, describe)
    parts = [asked(part, options) for part in states.parts(net)]
    content = encode(parts, options)
    data = container.write(content)
    found = reading.decode(data, most=claim(content, parts))
    store.write(path, data)
    named = tuple(part.name for part in parts if is_whole(part))
    return Packed(path, len(data), found.state, found.patterns, named)


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
    path = Path(path)
    data = path.read_bytes()
    if net is not None and most is None:
        most = max(container.allowed(len(data)), 2 * _bytes(net.state_dict()))
    try:
        state = dict(reading.decode(data, most, dense).state)
    except Damaged as error:
        raise ValueError(f"{path}: {error}") from None
    if net is not None:
        load_state(net, state, str(path))
    return state


def patterns(path: str | Path, most: int | None = None) -> dict[str, Pattern]:
    """Return the patterns of the sparse layers in a packed file, to make these layers with."""
    try:
        return reading.decode(Path(path).read_bytes(), most).patterns
    except Damaged as error:
        raise ValueError(f"{path}: {error}") from None


def _bytes(state: Mapping[str, Any]) -> int:
    return sum(x.nbytes for x in state.values() if isinstance(x, torch.Tensor))
