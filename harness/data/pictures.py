"""Cuts batches of images without a loader: the whole set lies on the device, ready to be cropped.

    border 4            the set, normalised, with a black border:   (samples, 40, 40, channels)
    one crop            rows dy .. dy+31, columns dx .. dx+31, or those from right to left
    a batch             one gather of pixels: where each pixel stands is plain arithmetic

Shifts and flips of an epoch are drawn at its start, a function of (seed, epoch), so that a resumed
run sees the pictures that it would have seen.
"""

import torch
from torch.nn.functional import pad

from harness.data.tensors import Data
from harness.seeding import generator

# As the original study normalised; other sets by the mean and deviation of their training part.
NORMS = {"cifar10": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))}


class Batches:
    """Draws training batches from a set of images.

    Args:
        data: Images, axes (samples, channels, height, width), on the device where batches go.
        augment: "none"; "crop" within a border of an eighth of the image; "flip": and left-right.
        seed: Seed of shifts and flips.
        layout: Memory format of the batches.
    """

    def __init__(self, data: Data, augment: str, seed: int, layout: torch.memory_format):
        self.seed, self.augment, self.layout = seed, augment, layout
        self.side = data.shape[1:]
        self.border = 0 if augment == "none" else self.side[0] // 8
        mean, scale = norm(data)
        padded = pad(data.train_x, [self.border] * 4).permute(0, 2, 3, 1).contiguous()
        self.padded = padded.sub_(mean).mul_(scale)
        self.labels = data.train_y
        self.moves = self.labels.new_zeros(len(self.labels), 3)

    def begin(self, epoch: int) -> None:
        """Draw where each image is cropped in this epoch, and whether it is flipped.

        The draws go where those of the last epoch lay: a replayed step (harness.train.graph) reads
        them there.
        """
        if self.augment == "none":
            return
        g = generator(self.seed, "noise", epoch)
        n, shifts = len(self.labels), 2 * self.border + 1
        moves = torch.randint(shifts, (n, 3), generator=g)
        moves[:, 2] = torch.randint(2, (n,), generator=g) * (self.augment == "flip")
        self.moves.copy_(moves)

    def draw(self, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return these samples, moved as this epoch has drawn it, and their labels."""
        (height, width), device = self.side, self.padded.device
        _, tall, wide, channels = self.padded.shape
        top, left, flip = self.moves[index].unbind(1)
        across = torch.arange(width, device=device)
        columns = torch.where(flip[:, None] > 0, width - 1 - across, across) + left[:, None]
        rows = torch.arange(height, device=device) + top[:, None]
        first = (index[:, None] * tall + rows) * wide  # of each row, in pixels
        places = (first[:, :, None] + columns[:, None, :]).flatten()
        pixels = self.padded.view(-1, channels).index_select(0, places)
        x = pixels.view(len(index), height, width, channels).permute(0, 3, 1, 2)
        return x.contiguous(memory_format=self.layout), self.labels[index]


def norm(data: Data) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what to subtract from each channel, and by what to multiply the result."""
    if data.name in NORMS:
        mean, deviation = (torch.tensor(values) for values in NORMS[data.name])
    else:
        mean, deviation = data.train_x.mean((0, 2, 3)), data.train_x.std((0, 2, 3))
    device = data.train_x.device
    return mean.to(device), (1 / deviation.clamp_min(1e-6)).to(device)


def images(x: torch.Tensor, data: Data, layout: torch.memory_format) -> torch.Tensor:
    """Return images in the form that the net wants, without shift or flip: for tests."""
    mean, scale = (values.view(-1, 1, 1) for values in norm(data))
    return ((x - mean) * scale).contiguous(memory_format=layout)
