"""One temperature for the pooled answer, fitted on samples that were kept apart.

    p_T ~ p^(1/T)      T > 1: the answer was too sure;  T < 1: not sure enough

First average, then calibrate: members that were calibrated before make a mean that is not sure
enough (Rahaman and Thiery, 2021). The order of the classes stays, so no decision changes. The mean
NLL is convex in 1/T, so it has one valley in log T, which a bounded search finds.
"""

from math import exp, isfinite, log
from typing import Any

import torch
from torch import nn

from bibd.pattern import check_whole
from ensemble.checks import checked, held_out, log_probabilities, module, targets, tensor
from ensemble.reading import reading, samples
from ensemble.scores.answers import nll
from harness.cost import evaluating

LOW, HIGH = 1e-3, 1e3  # where T is looked for; answers that are all right have their best at 0
SAME = 1e-14  # of a mean loss: what only roundings differ by


def temperature(logp: torch.Tensor, y: Any, split: str) -> float:
    """Return the temperature under which these answers have the least mean NLL.

    Args:
        logp: Log-probabilities (samples, classes) of the pooled answer.
        y: Targets (samples,).
        split: The name of the part of the data that these are, such as "validation".

    Returns:
        A number from LOW to HIGH; it is the end itself where the best would lie beyond, as for
        answers that are all right (LOW) or worse than chance (HIGH); and exactly 1 where no other
        is better, as for answers that know nothing.

    Raises:
        ValueError: the part is the training or the test part; answers that are not
            log-probabilities; a target of probability 0, which no temperature can help.
    """
    held_out(split, "a temperature cannot be fitted")
    logp = checked(logp)
    y = targets(y, logp)
    if nll(logp, y) == torch.inf:
        raise ValueError(
            "a target has probability 0, as after a hard vote: its NLL is infinite at every "
            'temperature; pool by rule="soft", or take no temperature'
        )
    from scipy.optimize import minimize_scalar

    def loss(t: float) -> float:
        return nll(tempered(logp, exp(t)), y)

    ends = log(LOW), log(HIGH)
    inner = minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-9})
    best = min((*ends, float(inner.x)), key=loss)  # pyright: ignore[reportAttributeAccessIssue]
    if loss(best) >= loss(0.0) * (1 - SAME):
        return 1.0
    return {ends[0]: LOW, ends[1]: HIGH}.get(best, exp(best))


def tempered(logp: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return log-probabilities after a temperature.

    Raises:
        ValueError: a temperature that is not above 0 or not finite.
    """
    return torch.log_softmax(logp / _above_zero(temperature), -1)


def _above_zero(temperature: float) -> float:
    if not (isfinite(temperature) and temperature > 0):
        raise ValueError(
            f"a temperature is a number above 0 (1 changes nothing), got {temperature}"
        )
    return float(temperature)


class Calibrated(nn.Module):
    """A net, or an ensemble, whose answers are put through one temperature.

    Args:
        net: Any module that gives logits or log-probabilities of shape (samples, classes).
        temperature: 1.0 leaves the answers as they are until `fit` finds another one. It is saved
            with the weights.

    Raises:
        ValueError: a temperature that is not above 0, or no net.
    """

    def __init__(self, net: nn.Module, temperature: float = 1.0):
        super().__init__()
        self.net = module(net, "what is calibrated")
        self.register_buffer("t", torch.tensor(_above_zero(temperature), dtype=torch.float64))

    @property
    def temperature(self) -> float:
        """The temperature."""
        return float(self.get_buffer("t"))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the log-probabilities after the temperature."""
        logp = torch.log_softmax(tensor(self.net(x), "the net"), -1)
        return torch.log_softmax(logp / self.get_buffer("t").to(logp.dtype), -1)

    @torch.no_grad()
    def fit(self, x: torch.Tensor, y: Any, split: str, batch: int = 250) -> float:
        """Find the temperature on held-out samples, set it and return it.

        Args:
            x: Inputs.
            y: Targets.
            split: The name of the part of the data that these are, such as "validation".
            batch: Samples at a time.

        Raises:
            ValueError: what `temperature` refuses.
        """
        held_out(split, "a temperature cannot be fitted")
        check_whole("batch", batch, 1)
        with evaluating(self), reading(self.net, samples(x), "the net"):
            said = [tensor(self.net(part), "the net") for part in x.split(batch)]
            logp = torch.cat([log_probabilities(part) for part in said])
        self.get_buffer("t").fill_(temperature(logp, y, split))
        return self.temperature

    def extra_repr(self) -> str:
        """Return the temperature, for print(model)."""
        return f"temperature={self.temperature:.4g}"
