"""A dense net under masks that move, with choices by plain sorts: slow and obvious."""

import numpy as np
import torch
import torch.nn.functional as F

from bibd import DynamicLinear
from compress.moving.choose import at_random
from harness.seeding import generator

RATE, MOMENTUM = 0.05, 0.9


class Twin:
    """Trains dense weights by SGD with momentum; 0 where there is no connection."""

    def __init__(self, layers: list[DynamicLinear], method: str):
        self.method, self.t = method, 0
        self.weights = [m.to_dense().detach().clone() for m in layers]
        self.masks = [torch.from_numpy(m.pattern.mask()) for m in layers]
        self.biases = [m.bias.detach().clone() for m in layers if m.bias is not None]
        self.buffers = [torch.zeros_like(w) for w in [*self.weights, *self.biases]]

    def step(self, x: torch.Tensor, y: torch.Tensor, due: bool, share: float) -> None:
        """One update, or one change."""
        held = [w.requires_grad_() for w in [*self.weights, *self.biases]]
        n = len(self.weights)
        for k in range(n):
            x = F.linear(x, held[k], held[n + k])  # (weights without a connection are 0)
            x = x if k + 1 == n else torch.tanh(x)
        grads = torch.autograd.grad(F.mse_loss(x, y), held)
        with torch.no_grad():
            self._change(grads, share) if due else self._update(held, grads)
        for w in held:
            w.requires_grad_(False)
        self.t += 1

    def _update(self, held, grads) -> None:
        masks = [*self.masks, *(torch.ones_like(b) for b in self.biases)]
        for w, g, mask, buffer in zip(held, grads, masks, self.buffers, strict=True):
            buffer.mul_(MOMENTUM).add_(g * mask)
            w.sub_(RATE * buffer)

    def _change(self, grads, share: float) -> None:
        for k, (w, mask) in enumerate(zip(self.weights, self.masks, strict=True)):
            places = mask.flatten().nonzero().flatten().tolist()
            free = [i for i in range(mask.numel()) if i not in set(places)]
            count = min(int(share * len(places)), len(free))
            flat = w.flatten().tolist()
            gone = sorted(places, key=lambda i: (abs(flat[i]), i))[:count]
            come = self._grown(k, grads[k].flatten().tolist(), free, gone)
            for tensor in (w, self.buffers[k]):
                tensor.view(-1)[[*gone, *come]] = 0
            mask.view(-1)[gone] = False
            mask.view(-1)[come] = True

    def _grown(self, k: int, grads: list[float], free: list[int], gone: list[int]) -> list[int]:
        if self.method == "set":
            draw = generator(0, "design", k, self.t)  # (whose fairness has a test of its own)
            taken = np.ones(self.masks[k].numel(), bool)
            taken[free] = False
            return at_random(taken, len(gone), draw).tolist()
        best = sorted(free, key=lambda i: (-abs(grads[i]), i))
        if self.method == "rigl":
            return best[: len(gone)]
        width = self.weights[k].shape[1]
        lost = [i // width for i in gone]
        come: list[int] = []
        for row in set(lost):
            come += [i for i in best if i // width == row][: lost.count(row)]
        return come
