"""Two nets that read texts as numbers of words (samples, length): a residual LSTM, a Transformer.

    ResidualLSTM                                       Transformer
    0        embedding                                 embedding, linear, + a vector per place
    1 2 3 4  x + projection(LSTM(x))                   1 2 3  encoder block
    5        mean over time, linear                    4      mean over time, linear

Both are those of the SpecTrain script (1809.02839), of 128 units there. The padding at the end of
a text is read as the word 0 and counts in the mean. An encoder block is the first kind, norm after
the sum, with 4 heads, a feed-forward as wide as the rest, and keyed dropout behind attention and
feed-forward, none on the attention weights (nor has the script).

The Transformer starts as the script's, linear maps and places with a deviation of .01, so that what
the first norm sees is small and the words learn fast; the LSTM starts as torch's do.

The script put the LSTM's stages 1 2 | 3 4 on two devices and one on each of four, embedding and end
with the first and the last; of the Transformer it put embedding and block | block, block and end on
two, and embedding | block | block | block and end on four.
"""

from math import prod
from typing import ClassVar

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from harness.cost import held_bytes
from harness.nets.dropout import KeyedDropout
from harness.nets.staged import Staged, check_width
from harness.seeding import seeded

MARKS = 2  # numbers that are no words, as texts have them: padding, unknown
HEADS = 4
BLOCKS = 3
START = 0.01  # deviation of the first weights of a Transformer
LSTMS = 4


class ResidualLSTM(Staged):
    """Input (samples, any length), whole numbers; output logits."""

    CUTS: ClassVar[dict[int, list[int]]] = {2: [3], 4: [2, 3, 4]}
    reads = torch.int64


class Transformer(Staged):
    """Input (samples, length), whole numbers, of no more words than it was built for."""

    CUTS: ClassVar[dict[int, list[int]]] = {2: [2], 4: [1, 2, 3]}
    reads = torch.int64


def residual_lstm(
    width: int = 128, words: int = 10_000, classes: int = 2, seed: int = 0
) -> ResidualLSTM:
    """A net with this seed's first weights.

    Args:
        width: Of embedding, states and projections.
        words: How many there are, beside padding (0) and unknown (1).
        classes: Number of logits.
        seed: Of the weights.
    """
    check_width(width, 1, "ResidualLSTM")
    with seeded(seed, "init"):
        middle = [Recurrent(width) for _ in range(LSTMS)]
        return ResidualLSTM(Words(words, width), *middle, End(width, classes))


def transformer(
    width: int = 128,
    words: int = 10_000,
    length: int = 200,
    classes: int = 2,
    dropout: float = 0.5,
    seed: int = 0,
) -> Transformer:
    """A net with this seed's first weights.

    Args:
        width: Of every vector; 4 heads share it.
        words: How many there are, beside padding (0) and unknown (1).
        length: Words of a text, at most.
        classes: Number of logits.
        dropout: Behind attention and feed-forward.
        seed: Of the weights.
    """
    check_width(width, HEADS, "Transformer")
    with seeded(seed, "init"):
        middle = [Block(width, dropout, 2 * k) for k in range(BLOCKS)]
        net = Transformer(Places(words, width, length), *middle, End(width, classes))
        for module in net.modules():  # of a normal start only the words are larger than this
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=START)
                nn.init.zeros_(module.bias)
        nn.init.normal_(net.stages[0].places.weight, std=START)  # pyright: ignore
    return net


class Words(nn.Embedding):
    """A vector for each word, for padding and for what is unknown."""

    def __init__(self, words: int, width: int):
        super().__init__(MARKS + words, width)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """(samples, length) to (samples, length, width).

        Raises:
            ValueError: the input holds no whole numbers, or one beyond the words.
        """
        if input.is_floating_point() or input.ndim != 2:
            raise ValueError(
                "expected texts as whole numbers (samples, length), got "
                f"{str(input.dtype).removeprefix('torch.')} {tuple(input.shape)}: load a set of "
                "texts such as imdb, or give token ids of dtype int64"
            )
        try:
            return super().forward(input)
        except IndexError:
            raise ValueError(
                f"a text holds the number {int(input.max())}, but the net knows {MARKS} marks and "
                f"{self.num_embeddings - MARKS} words: build it with words= as the texts have"
            ) from None


class Places(nn.Module):
    """Words, turned, and a learned vector for each place in the text."""

    def __init__(self, words: int, width: int, length: int):
        super().__init__()
        self.words, self.turn = Words(words, width), nn.Linear(width, width)
        self.places = nn.Embedding(length, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(samples, length) to (samples, length, width).

        Raises:
            ValueError: the texts are longer than the net.
        """
        length, most = x.shape[1], self.places.num_embeddings
        if length > most:
            raise ValueError(
                f"texts of {length} words, but the net has {most} places: build it with "
                f"length={length}, or cut the texts"
            )
        return self.turn(self.words(x)) + self.places(torch.arange(length, device=x.device))


class Recurrent(nn.Module):
    """x + projection(LSTM(x)); input and output (samples, length, width)."""

    def __init__(self, width: int):
        super().__init__()
        self.lstm = nn.LSTM(width, width, batch_first=True)
        self.projection = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The same shape."""
        return x + self.projection(self.lstm(x)[0])

    def cost(self, inputs: tuple[int, ...], outputs: tuple[int, ...]) -> dict[str, int]:
        """Four gates that read input and state, and the projection, for each place."""
        steps, width = prod(inputs[:-1]), inputs[-1]
        weights = 9 * width**2
        adds = steps * (4 + 4 + 1) * width
        held = held_bytes(self)
        return dict(macs=steps * weights, nonzeros=weights, bytes=held, bias_adds=adds)


class Block(nn.Module):
    """norm(x + attention(x)), then norm(x + feed-forward(x)); dropout from layer `first` on."""

    def __init__(self, width: int, dropout: float, first: int):
        super().__init__()
        self.read = nn.Linear(width, 3 * width)  # queries, keys, values
        self.write = nn.Sequential(nn.Linear(width, width), KeyedDropout(dropout, first))
        self.forth = nn.Sequential(
            *(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width)),
            KeyedDropout(dropout, first + 1),
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(samples, length, width) to the same."""
        parts = self.read(x).unflatten(2, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        seen = scaled_dot_product_attention(*parts.unbind(0)).transpose(1, 2).flatten(2)
        x = self.norms[0](x + self.write(seen))
        return self.norms[1](x + self.forth(x))

    def cost(self, inputs: tuple[int, ...], outputs: tuple[int, ...]) -> dict[str, int]:
        """Six linear maps for each place, and each place by each, twice."""
        texts, length, width = inputs
        weights, steps = 6 * width**2, texts * length
        macs = steps * weights + texts * 2 * length**2 * width
        norms, adds = 2 * steps * width, 6 * steps * width
        held = held_bytes(self)
        return dict(macs=macs, nonzeros=weights, bytes=held, bias_adds=adds, norm_elements=norms)


class End(nn.Module):
    """The mean over time, and a linear layer."""

    def __init__(self, width: int, classes: int):
        super().__init__()
        self.linear = nn.Linear(width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(samples, length, width) to (samples, classes)."""
        return self.linear(x.mean(1))
