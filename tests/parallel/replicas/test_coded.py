"""Coders: what they send, keep and give back, on random gradients."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from parallel import World
from parallel.executors import executor_of
from parallel.identities import coded_oracle as oracle
from parallel.identities.coded import weighted
from parallel.replicas.coded import coder_of
from parallel.replicas.coded.factored import orthonormal
from parallel.replicas.coded.sparse import largest
from parallel.replicas.replicas import Looped
from parallel.strategy import make
from parallel.world.codecs import Bfloat16, Codec, Largest, LowRank
from parallel.world.comm import HEADER, Comm
from parallel.world.ops import AllReduce
from parallel.world.run import run
from parallel.world.spread import NUMBERS, by_slices, gathered
from tests.drawn import examples

CODECS = [Bfloat16(), Largest(0.3), LowRank(2)]
shapes = st.lists(st.lists(st.integers(1, 5), max_size=3).map(tuple), min_size=1, max_size=3)


def gradients(workers, shapes, seed, dtype=torch.float64):
    draw = torch.Generator().manual_seed(seed)
    words = dict(generator=draw, dtype=dtype)
    return {f"p{k}": torch.randn(workers, *shape, **words) for k, shape in enumerate(shapes)}


@given(st.floats(-3e38, 3e38, width=64))
@examples(200)
def test_the_oracle_rounds_as_torch_does(value):
    bits = torch.tensor(value, dtype=torch.float64).bfloat16()
    assert oracle.bfloat(value) == float(bits) or math.isinf(float(bits))


@given(st.data(), st.integers(1, 12), st.integers(1, 3))
@examples(60)
def test_the_largest_are_those_of_a_sorted_list_and_of_equals_the_first(data, size, workers):
    row = st.lists(st.integers(-3, 3), min_size=size, max_size=size)
    rows = data.draw(st.lists(row, min_size=workers, max_size=workers))
    k = data.draw(st.integers(1, size))
    places, sent, rest = largest(torch.tensor(rows).float(), k)
    for own, at, values, kept in zip(rows, places.tolist(), sent, rest, strict=True):
        assert at == sorted(sorted(range(size), key=lambda j: (-abs(own[j]), j))[:k])
        assert values.tolist() == [own[j] for j in at]
        assert kept.tolist() == [0 if j in at else v for j, v in enumerate(own)]


@given(shapes, st.sampled_from(CODECS), st.integers(1, 4), st.integers(0, 99))
@examples(60)
def test_bytes_are_counted_as_the_codec_says(shapes, codec, workers, seed):
    comm = Comm(workers)
    coder, rows = coder_of(codec, comm, seed), gradients(workers, shapes, seed)
    coder.mean(rows, [1] * workers)
    whole = sum(codec.size(shape, 8) for shape in shapes)
    assert comm.sent == coder.sent(rows) == codec.copies(workers) * whole


@given(shapes, st.sampled_from(CODECS[1:]), st.data(), st.integers(0, 99))
@examples(60)
def test_nothing_is_lost(shapes, codec, data, seed):
    """Over three steps with any numbers of samples: what was sent, and what is kept at the end."""
    coder = coder_of(codec, Comm(3), seed)
    due = dict.fromkeys((f"p{k}" for k in range(len(shapes))), 0.0)
    for step in range(3):
        counts = data.draw(st.lists(st.integers(0, 9), min_size=3, max_size=3))
        rows = gradients(3, shapes, seed + step)
        sent = coder.settle(coder.mean(rows, counts), [], [])
        for name, part in weighted(rows, counts).items():
            assert sent[name].shape == (1, *part.shape[1:])
            due[name] = due[name] + part.sum(0) - 3 * sent[name][0]
    for name, owed in due.items():
        kept = coder.memory["rest"].get(name, torch.zeros(3, owed.numel()))
        # (sums of at most 60 products of numbers below 100)
        assert (
            float((kept.sum(0).reshape(-1) - owed.reshape(-1)).abs().max()) < 60 * 100 * 2e-16 * 8
        )


@given(st.integers(1, 6), st.integers(1, 4), st.data())
@examples(60)
def test_columns_become_orthonormal_or_zero_and_span_what_they_did(rows, columns, data):
    """Whole numbers up to 3: what is spanned is spanned exactly, and the rest is no rounding."""
    row = st.lists(st.integers(-3, 3), min_size=columns, max_size=columns)
    p = torch.tensor(data.draw(st.lists(row, min_size=rows, max_size=rows))).double()
    found, close = orthonormal(p), 1e-11  # (determinants are whole: no angle is below 1e-4)
    said = found.any(0).double()
    assert float((found.T @ found - torch.diag(said)).abs().max()) < close
    assert int(said.sum()) == int(torch.linalg.matrix_rank(p))
    assert float((found @ (found.T @ p) - p).abs().max()) < close


def test_a_second_factor_that_says_nothing_yet_says_something_later():
    """A gradient of zero, as of a layer before one that begins at zero, ends no warm start."""
    coder = coder_of(LowRank(2), Comm(2), 0)
    zero, some = torch.zeros(2, 8, 9).double(), gradients(2, [(8, 9)], 0)["p0"]
    coder.settle(coder.mean({"p0": zero}, [1, 1]), [], [])
    begun = coder.memory["second"]["p0"].clone()
    thin = torch.outer(some[0, 0, :8], some[0, 1]).expand(2, 8, 9)
    coder.settle(coder.mean({"p0": thin}, [1, 1]), [], [])
    assert float(begun.abs().min()) > 0
    assert torch.equal(
        coder.memory["second"]["p0"][:, 1], begun[:, 1]
    )  # (of rank 1: one is enough)
    assert not torch.equal(coder.memory["second"]["p0"][:, 0], begun[:, 0])
    assert float(coder.memory["rest"]["p0"].abs().max()) < 1e-13
    fresh = coder_of(LowRank(2), Comm(2), 0)
    for one in (coder, fresh):
        one.settle(one.mean({"p0": some}, [1, 1]), [], [])
    assert torch.linalg.matrix_rank(coder.memory["second"]["p0"]) == 2


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_types_stay_what_they_are_and_messages_have_them(codec, dtype):
    comm = Comm(2)
    rows = gradients(2, [(6, 5), (4,)], 3, torch.float32)
    rows = {k: v.to(dtype) for k, v in rows.items()}
    coder = coder_of(codec, comm, 0)
    mean = coder.settle(coder.mean(rows, [1, 1]), [], [])
    assert {v.dtype for v in mean.values()} == {dtype}
    assert comm.sent == coder.sent(rows)
    exact = rows["p1"].double().mean(0)
    if not isinstance(codec, Largest):  # a vector is sent whole; two roundings of 8 bits at most
        assert float((mean["p1"][0].double() - exact).abs().max()) < 3 * 2**-8 * 2


def test_a_codec_that_nobody_carries_out_is_told():
    class Mine(Codec):
        pass

    with pytest.raises(ValueError, match="no coder carries it out; there are some for Bfloat16, L"):
        coder_of(Mine(), Comm(2), 0)


def test_complex_gradients_are_refused():
    rows = {"w": torch.ones(2, 3, dtype=torch.complex64)}
    for codec in CODECS:
        with pytest.raises(ValueError, match=r"w is torch\.complex64, and codecs are for reals"):
            coder_of(codec, Comm(2), 0).mean(rows, [1, 1])


def test_a_tensor_that_places_cannot_reach_is_refused():
    with pytest.raises(
        ValueError, match="2147483648 numbers: places are int32, 2147483647 at most"
    ):
        Largest(0.1).count(2**31)


NAMES = {"bf16": {}, "top_k": dict(fraction=0.3), "power_sgd": {}}


def models(comm):
    """Nets of which the second layer has a gradient of worker 1 only, and the third of nobody."""
    return Looped([nn.ModuleList(nn.Linear(6, 5).double() for _ in range(3)) for _ in comm.ranks])


def exchanged(comm):
    """Averages gradients in each codec, in four steps; the last has NaN, of worker 2."""
    found = {}
    for name, options in NAMES.items():
        executor = executor_of(make(name, **options), comm, 0)
        executor.attach(models(comm))
        gradients = executor.gradients
        gradients.tolerant = True
        for step in range(4):
            for rank, named in zip(comm.ranks, executor.members.named, strict=True):
                draw = torch.Generator().manual_seed(10 * step + rank)
                for key, p in named.items():
                    drawn = torch.randn(p.shape, generator=draw, dtype=p.dtype)
                    has = key[0] == "0" or (key[0] == "1" and rank == 1 and step != 1)
                    p.grad = drawn if has else None
            if step == 3 and 2 in comm.ranks:
                executor.members.named[-1]["0.bias"].grad[3] = math.nan
            gradients.average([3.0, 2.0, 2.0], AllReduce("gradients", executor.strategy.sends))
            own = executor.members.named[0]
            for key, p in own.items():
                found[f"{name} {step} {key}"] = torch.zeros(0) if p.grad is None else p.grad.clone()
            for part, state in gradients.coder.memory.items():
                found |= {f"{name} {step} {part} {k}": v[:1].clone() for k, v in state.items()}
        assert gradients.broken == [2]
    rows = {NUMBERS: torch.tensor([[r + 1.0, 10.0 * r] for r in comm.ranks])}
    rows[HEADER] = torch.tensor([[float(r == 1)] for r in comm.ranks])
    found |= by_slices(comm, rows, lambda values: values.sum(0))
    found |= {f"all {k}": v for k, v in gathered(comm, rows).items()}
    yield found | {"bytes": torch.tensor(sum(comm.everyone(comm.sent)))}


def test_processes_and_simulation_have_the_same_means_and_memories():
    (here,), (there,) = run(World.sim(3), exchanged), run(World.procs(3, timeout=30), exchanged)
    assert here["numbers"].tolist() == [6.0, 30.0]  # (two numbers, three slices)
    assert here[HEADER].tolist() == [1.0]
    for key, value in here.items():
        if key != "bytes":  # (processes also send zeros for whom nobody has a gradient, as ever)
            torch.testing.assert_close(there[key], value, rtol=0, atol=1e-14, equal_nan=True)
    for name in NAMES:
        assert here[f"{name} 0 2.weight"].numel() == 0
        assert here[f"{name} 1 1.weight"].numel() == 0
        assert here[f"{name} 3 0.weight"].isnan().all()
    for key in [k for k in here if " 3 rest " in k or " 3 second " in k]:
        assert torch.equal(here[key], here[key.replace(" 3 ", " 2 ")])
    for key in [k for k in here if " 1 rest 1." in k]:
        assert torch.equal(here[key], here[key.replace(" 1 rest ", " 0 rest ")])
    assert {k.split(" ")[0] for k in here if " rest 1.weight" in k} == {"top_k", "power_sgd"}
    assert not [k for k in here if "rest 2." in k]
