"""The small task of the identities: answers of five members to 200 samples in seven classes."""

import torch

MEMBERS, SAMPLES, CLASSES = 5, 200, 7


def answers(spread: float = 3.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return log-probabilities (members, samples, classes) and targets; larger spread: surer."""
    g = torch.Generator().manual_seed(3)
    shape = MEMBERS, SAMPLES, CLASSES
    y = torch.randint(CLASSES, (SAMPLES,), generator=g)
    common = torch.randn(shape[1:], generator=g, dtype=torch.float64)
    own = torch.randn(shape, generator=g, dtype=torch.float64)
    pull = torch.nn.functional.one_hot(y, CLASSES)
    return torch.log_softmax(spread * (common + own + pull), -1), y


def certain() -> tuple[torch.Tensor, torch.Tensor]:
    """Return one answer: every third sample exactly certain, right or wrong; the others all right.

    So the certain ones are too sure and the others not sure enough, and a bin that holds both says
    something else than two bins.
    """
    logp, y = answers()
    logits = logp[0].clone()
    logits[::3] *= 1e4
    y = torch.where(torch.arange(SAMPLES) % 3 == 0, y, logits.argmax(-1))
    return torch.log_softmax(logits, -1), y
