"""Data sets that need no files: two come with scikit-learn, two are made here."""

from dataclasses import replace
from pathlib import Path

import torch
from torch.nn.functional import interpolate

from harness.data.tensors import Data

HERE = Path()  # no files are read
SEED = 0  # fixes the split of iris and digits, which come without one


def _embedded(name: str, x, y) -> Data:
    from sklearn.model_selection import train_test_split

    parts = train_test_split(x, y, test_size=0.2, random_state=SEED, stratify=y)
    train_x, test_x = (torch.tensor(p, dtype=torch.float32) for p in parts[:2])
    train_y, test_y = (torch.tensor(p, dtype=torch.int64) for p in parts[2:])
    split = f"fixed stratified split, {len(train_x)} train / {len(test_x)} test"
    return Data(name, split, train_x, train_y, test_x, test_y)


def iris(root: Path = HERE, official: bool = True) -> Data:
    """Return Fisher's iris flowers, scaled by their training part."""
    from sklearn.datasets import load_iris

    x, y = load_iris(return_X_y=True)
    data = _embedded("iris", x, y)
    mean, std = data.train_x.mean(0), data.train_x.std(0)
    return replace(data, train_x=(data.train_x - mean) / std, test_x=(data.test_x - mean) / std)


def digits(root: Path = HERE, official: bool = True) -> Data:
    """Return scikit-learn's handwritten digits of 8 x 8 pixels."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return _embedded("digits", x / 16.0, y)


def synthetic(root: Path = HERE, official: bool = True) -> Data:
    """Return ten Gaussian clouds in 64 dimensions, so close that they overlap."""
    g = torch.Generator().manual_seed(SEED)
    centres = torch.randn(10, 64, generator=g) * 0.35
    y = torch.arange(2500) % 10
    x = centres[y] + torch.randn(2500, 64, generator=g)
    return Data("synthetic", "2000 train / 500 test", x[:2000], y[:2000], x[2000:], y[2000:])


def synthetic_images(root: Path = HERE, official: bool = True) -> Data:
    """Return ten classes of blurred colour pictures, shifted at random and with noise."""
    g = torch.Generator().manual_seed(SEED)
    classes = interpolate(torch.randn(10, 3, 8, 8, generator=g), scale_factor=4, mode="bilinear")
    y = torch.arange(1500) % 10
    shifts = torch.randint(-4, 5, (1500, 2), generator=g).tolist()
    x = torch.stack([classes[k].roll(s, (1, 2)) for k, s in zip(y.tolist(), shifts, strict=True)])
    x = (0.5 + 0.15 * x + 0.15 * torch.randn(x.shape, generator=g)).clamp(0, 1)
    split = "1200 train / 300 test"
    return Data("synthetic_images", split, x[:1200], y[:1200], x[1200:], y[1200:])
