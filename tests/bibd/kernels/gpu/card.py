"""A processor in the place of a card: kernels by the book of their tables, in float64.

`Book` reads what fine.cu reads - the laid-out weights, the table of entries, rows of x - and writes
what it writes, by undoing the layout; tests/benchmarks/test_gpu_kernels.py holds fine.cu itself.
"""

import numpy as np
import torch

from bibd.kernels.gpu import card, compile, fit


def entries(form):
    """What ENTRY of fine.cu says of each input of a part."""
    at = np.arange(form.chunk)
    return {
        int(e): int(r) for r, e in zip(at, form.s * at + at // (8 // form.s) % form.s, strict=True)
    }


class Book:
    """What stands for a compiled form."""

    def __init__(self, form):
        self.form, self.calls = form, 0
        assert form.shared <= card.card(None).shared

    def slots(self, table, last):
        """Input and (group of) place of every slot: (chunks, outputs, slots), as dealt."""
        f = self.form
        if f.mma:
            shape = -1, f.chunks, f.warps, f.sets, f.steps, 16, f.outs
            table = table.reshape(shape).transpose(1, 0, 2, 3, 6, 4, 5)
            last = last.reshape(*shape[:5], 8, 4, 2, 2).transpose(1, 0, 2, 3, 5, 4, 7, 6, 8)
        else:
            shape = -1, f.chunks, f.warps, f.sets, f.steps, f.outs, 8
            table, last = (a.reshape(shape).transpose(1, 0, 2, 3, 5, 4, 6) for a in (table, last))
        read = np.vectorize(entries(f).__getitem__)(table.astype(np.int64) & 0xFFFF)
        inputs = read + np.arange(f.chunks).reshape(-1, *[1] * 6) * f.chunk
        return (a.reshape(f.chunks, -1, f.width) for a in (inputs, last))

    def __call__(self, blocks, *given):
        self.calls += 1
        assert all(t.is_contiguous() for t in given[:4])
        assert given[0].data_ptr() % 8 == 0
        return (self.rows if self.form.kernel.startswith("rows") else self.weights)(blocks, *given)

    def rows(self, blocks, x, weights, table, y, batch, inputs, outputs, rounds):
        assert x.shape == (batch, inputs)
        assert y.shape == (batch, outputs)
        assert inputs % 2 == outputs % 2 == 0
        groups = weights.numel() // (self.form.chunks * self.form.width * self.form.group)
        assert blocks[0] * self.form.samples >= batch
        assert blocks[1] * rounds == groups
        where, w = self.slots(table.numpy(), weights.double().detach().numpy())
        read = np.where(where < inputs, where, 0)
        wide = torch.from_numpy(read.transpose(1, 0, 2).reshape(groups * self.form.group, -1))
        w = torch.from_numpy(w.transpose(1, 0, 2).reshape(wide.shape))
        found = (x.double()[:, wide] * w).sum(2)
        y.copy_(found[:, :outputs].to(y.dtype))

    def weights(self, blocks, x, g, table, parts, batch, inputs, outputs, tiles):
        assert x.shape == (batch, inputs)
        assert g.shape == (batch, outputs)
        f, many = self.form, blocks[0]
        order = np.arange(table.numel())
        where, at = self.slots(table.numpy(), order)
        high = where.shape[1]
        assert blocks[1:] == (high // f.group, f.chunks)
        parts.fill_(torch.nan)
        for split in range(many):
            of = slice(split * tiles * f.samples, (split + 1) * tiles * f.samples)
            left = torch.zeros(len(x[of]), high, dtype=torch.float64)
            left[:, :outputs] = g[of].double()
            read = torch.from_numpy(np.where(where < inputs, where, 0))
            dv = torch.einsum("bo,bcos->cos", left, x[of].double()[:, read])
            parts[split, torch.from_numpy(at.ravel())] = dv.float().ravel()


def put_in(monkeypatch, made=Book, shared=64 << 10, units=4, bf16=True):
    """Take every CPU tensor for one on a card, until the test ends; returns the kernels made."""
    kernels = {}

    def compiled(form, index=None):
        if form not in kernels:
            kernels[form] = made(form)
        return kernels[form]

    monkeypatch.setattr(compile, "compiled", compiled)
    monkeypatch.setattr(card, "on_card", lambda t: t.device.type == "cpu")
    monkeypatch.setattr(card, "card", lambda device: fit.Card(shared, units, bf16))
    monkeypatch.setattr(card, "name", lambda device: "a card")
    monkeypatch.setattr(card, "wait", lambda: None)
    return kernels
