"""Training from the outside: wrong words, random numbers, checkpoints, frozen layers."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from harness.nets.dropout import KeyedDropout
from parallel import World, train
from parallel.identities import averaging as identities
from parallel.strategy import make
from parallel.world.run import run


def test_the_callers_random_numbers_are_left_alone():
    torch.manual_seed(5)
    first = torch.rand(3)
    torch.manual_seed(5)
    list(train(identities.net(), identities.task(), world=World.sim(2), steps=2, batch_size=6))
    assert torch.equal(first, torch.rand(3))


def test_a_checkpoint_that_was_loaded_is_not_changed_later():
    session = identities.trained(make("easgd", alpha=0.2), steps=4)
    saved = session.state_dict()
    kept = {k: v.clone() for k, v in saved["team"]["centre"].items()}
    session.load_state_dict(saved)
    session.step()
    session.step()
    for k, v in kept.items():
        assert torch.equal(saved["team"]["centre"][k], v)


def test_frozen_layers_of_ranks_without_samples():
    """22 samples for three ranks: the last steps leave some without."""
    model = identities.net()
    model[0].requires_grad_(False)
    sgd = partial(torch.optim.SGD, **identities.MOMENTUM)
    words = model, identities.task(), F.cross_entropy, sgd, make("all_reduce")
    options = dict(batch_size=7, seed=5)
    *_, row = run(World.procs(3, timeout=20), identities.states, words, options, 12)
    assert torch.allclose(row["0.weight"], model[0].weight, rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (dict(world=4), "world is World.sim"),
        (dict(data=7), "got an int"),
        (dict(steps=0), "1 or more"),
        (dict(strategy="localsgd"), "did you mean 'local_sgd'"),
    ],
)
def test_wrong_words_for_train(words, text):
    with pytest.raises(ValueError, match=text):
        list(train(identities.net(), **{"data": identities.task(), **words}))


def test_two_dropouts_of_one_number_are_refused():
    twice = nn.Sequential(KeyedDropout(0.5), nn.Linear(4, 3), KeyedDropout(0.5)).double()
    with pytest.raises(ValueError, match=r"have the numbers \[0, 0\]"):
        list(train(twice, identities.task(), steps=1))
