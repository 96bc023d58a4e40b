"""Gradients of samples against a loop; their noise against all batches that there are."""

from itertools import product

import torch
import torch.nn.functional as F

from harness.nets.perceptron import mlp
from primer.batch import noise

EPS = 2.0**-52


def samples(n=4):
    torch.manual_seed(0)
    return mlp((3, 4, 2)).double(), torch.randn(n, 3).double(), torch.randint(2, (n,))


def alone(net, x, y):
    """The gradient of one batch, by backward."""
    net.zero_grad()
    F.cross_entropy(net(x), y).backward()
    return torch.cat([p.grad.flatten() for p in net.parameters()])


def test_each_samples_gradient_is_that_of_a_batch_of_one():
    net, x, y = samples()
    there = torch.stack([alone(net, x[i : i + 1], y[i : i + 1]) for i in range(len(x))])
    found = noise.gradients(net, x, y)
    # numbers below 4 that are sums of at most eight products
    assert (found - there).abs().max() < 4 * 8 * EPS


def test_the_square_of_a_batch_is_on_average_what_the_formula_says():
    """Over all batches of one to three draws, one after the other."""
    net, x, y = samples()
    mean, trace = noise.moments(noise.gradients(net, x, y))
    for batch in (1, 2, 3):
        drawn = [alone(net, x[list(i)], y[list(i)]) for i in product(range(4), repeat=batch)]
        found = float(torch.stack([g @ g for g in drawn]).mean())
        assert abs(found - noise.squared(batch, mean, trace)) < 100 * EPS * found


def test_two_sizes_tell_both_unknowns():
    for mean, trace in ((1.0, 3.0), (0.5, 40.0)):
        squares = noise.squared(2, mean, trace), noise.squared(64, mean, trace)
        found = noise.unknowns((2, 64), squares)
        assert abs(found[0] - mean) + abs(found[1] - trace) < 100 * EPS * trace
        assert noise.scale(mean, trace) == trace / mean


def test_samples_that_agree_have_no_noise():
    mean, trace = noise.moments(torch.ones(5, 7))
    assert (mean, trace, noise.scale(mean, trace)) == (7, 0, 0)
