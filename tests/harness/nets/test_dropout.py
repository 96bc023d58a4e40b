"""Keyed dropout: masks by worker, layer and step."""

import torch

from harness.nets.dropout import KeyedDropout


def test_masks_differ_between_workers_layers_and_steps():
    layers = KeyedDropout(0.5, 0), KeyedDropout(0.5, 1)
    masks = []
    for layer in layers:
        for step, worker in ((1, 0), (1, 1), (2, 0)):
            layer.step, layer.workers = step, (worker,)
            masks.append(layer.mask(torch.ones(64)))
    for i, one in enumerate(masks):
        assert not any(torch.equal(one, other) for other in masks[:i])
