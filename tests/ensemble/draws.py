"""Random answers for the tests: log-probabilities of members with ties, certainty and -inf."""

import torch
from hypothesis import strategies as st

from ensemble import log_probabilities
from harness.result.identity import roundings

LOGITS = st.one_of(
    st.floats(-30, 30, width=32),
    st.sampled_from([0.0, 1.0, -1.0, 1e4, -1e4, 9999.0]),
)


@st.composite
def answers(draw, members=(1, 4), samples=(1, 12), classes=(2, 5), excluded=False):
    """Log-probabilities (members, samples, classes) and targets (samples,).

    `excluded`: some classes have probability 0, as after hard votes, but never all of a sample's.
    """
    shape = [draw(st.integers(*ends)) for ends in (members, samples, classes)]
    count = shape[0] * shape[1] * shape[2]
    values = LOGITS if not excluded else st.one_of(LOGITS, st.just(-float("inf")))
    logits = torch.tensor(
        draw(st.lists(values, min_size=count, max_size=count)), dtype=torch.float64
    ).view(shape)
    logits[(logits == -torch.inf).all(-1)] = 0.0
    y = draw(st.lists(st.integers(0, shape[2] - 1), min_size=shape[1], max_size=shape[1]))
    return log_probabilities(logits), torch.tensor(y)


def near(logp, operations=0):
    """The bound for sums over all these numbers and so many more, by the size of the finite ones."""
    logp = logp.detach()
    size = float(torch.where(logp.isfinite(), logp, 0.0).abs().max())
    return roundings(4 * (sum(logp.shape) + 16) + operations, size)


def same(found, made, bound):
    """Equal infinities are equal; NaN equals nothing."""
    return found == made or abs(found - made) <= bound
