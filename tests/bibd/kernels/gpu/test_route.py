"""What `auto` takes on a card: dense, unless another was measured faster there and held right."""

import json
from contextlib import contextmanager, nullcontext
from threading import Thread
from types import SimpleNamespace

import pytest
import torch

import bibd
from bibd import SparseConv2d, SparseLinear, explain, kernels
from bibd.kernels import modes, tune
from bibd.kernels.gpu import card as cards
from bibd.kernels.gpu import check, route
from bibd.linear import StackedSparseLinear
from tests.bibd.kernels.gpu.card import Book, entries, put_in

X = torch.randn(16, 256)
CLOCK = cards.clock  # as it is


@pytest.fixture
def clock(card, monkeypatch):
    """Say how long a call takes that starts kernels of the card, and one that does not."""

    def put(sparse, dense):
        def clock(call):
            before = sum(kernel.calls for kernel in card.values())
            call()
            return (
                sparse if sum(kernel.calls for kernel in card.values()) > before else dense
            ) / 1e6

        monkeypatch.setattr(cards, "clock", clock)
        return card

    return put


def test_the_faster_path_is_taken_and_written_down_under_the_name_of_the_card(clock):
    clock(sparse=10, dense=30)
    layer = SparseLinear(256, 272)
    assert layer.path(X) == "cuda"
    with torch.no_grad():
        assert layer.path(X[:5]) == "cuda"
    found = json.loads(tune.path().read_text())
    assert list(found) == [
        "linear 256 272 4352 x1 batch 16 float32 on a card train",
        "linear 256 272 4352 x1 batch 8 float32 on a card infer",
    ]
    assert found["linear 256 272 4352 x1 batch 16 float32 on a card train"]["us"] == {
        "cuda": 10,
        "dense": 30,
    }
    layer(X).sum().backward()


def test_dense_is_taken_where_it_is_faster_and_what_is_on_file_is_not_measured_again(clock):
    clock(sparse=30, dense=10)
    layer = SparseLinear(256, 272)
    assert layer.path(X) == "dense"
    clock(sparse=10, dense=30)
    tune.used()
    assert layer.path(X) == "dense"
    assert layer.path(X.bfloat16()) != "dense"  # (another type is another call)


@pytest.mark.parametrize("wrong", ["rows", "weights"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_kernel_that_answers_wrong_is_never_taken(monkeypatch, clock, capsys, wrong, dtype):
    class Wrong(Book):
        """One connection is that of another input."""

        def __call__(self, blocks, x, second, table, *rest):
            if self.form.kernel.startswith(wrong):
                table = table.clone()
                table.view(-1)[0] = next(e for e in entries(self.form) if e != table.view(-1)[0])
            super().__call__(blocks, x, second, table, *rest)

    kernels = put_in(monkeypatch, Wrong)
    monkeypatch.setattr(cards, "clock", lambda call: call() is not None)
    layer = SparseLinear(256, 272, dtype=dtype)
    assert layer.path(X.to(dtype)) == "dense"
    assert kernels
    said = capsys.readouterr().err
    assert "its check beside float64 failed" in said
    assert "above their bound" in said
    (times,) = tune.known().values()
    assert list(times.us) == ["dense"]


def test_autocast_and_tf32_are_calls_of_their_own(clock, monkeypatch):
    clock(sparse=10, dense=30)
    layer = SparseLinear(256, 272)
    assert layer(X).dtype is torch.float32
    monkeypatch.setattr(modes, "tf32", lambda: True)
    layer(X)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer.path(X) == "dense"  # (a processor's autocast watches: nothing is measured)
    names = list(tune.known())
    assert [name.split(" on ")[1] for name in names] == ["a card train", "a card, tf32 train"]


def test_where_nothing_can_be_measured_what_is_on_file_decides(clock, monkeypatch):
    clock(sparse=10, dense=30)
    layer = SparseLinear(256, 272)
    monkeypatch.setattr(cards, "capturing", lambda: True)
    assert layer.path(X) == "dense"
    monkeypatch.setattr(cards, "capturing", lambda: False)
    assert layer.path(X) == "cuda"
    monkeypatch.setattr(cards, "capturing", lambda: True)
    assert layer.path(X) == "cuda"
    assert layer.path(X[:3]) == "dense"
    call = tune.Call("linear", 256, 272, 4352, 1, (), 0, 0, torch.float32, True, "a card")
    assert tune.settled(call, any_batch=True) == "cuda"
    slower = tune.known()[str(call._replace(batch=4))]._replace(
        us={"dense": 1.0}, median_us={"dense": 1.0}
    )
    tune.remember(str(call._replace(batch=9)), slower)
    assert tune.settled(call, any_batch=True) == "dense"


def test_a_graph_takes_the_path_of_the_calls_before_it_whatever_is_on_file(clock, monkeypatch):
    clock(sparse=10, dense=30)
    layer = SparseLinear(256, 272)
    assert layer._route(X) == "cuda"
    tune.path().unlink()  # (a cache that cannot be written has no such file at all)
    monkeypatch.setattr(cards, "capturing", lambda: True)
    assert layer._route(X) == "cuda"
    assert layer._route(X[:3]) == "dense"
    monkeypatch.setattr(cards, "capturing", lambda: False)
    assert layer._route(X[:3]) == "cuda"


def test_measuring_leaves_room_and_random_numbers_to_the_user(clock, monkeypatch):
    clock(sparse=10, dense=30)
    state = torch.get_rng_state()
    layer = SparseLinear(256, 272, seed=0)
    torch.set_rng_state(state)
    assert layer.path(X) == "cuda"
    assert torch.equal(torch.get_rng_state(), state)

    def full(*given):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(cards, "clock", CLOCK)
    monkeypatch.setattr(check, "hold", full)
    known = tune.known()
    assert layer.path(X[:1]) == "dense"
    assert tune.known() == known  # (what there was no room for is not remembered)


def test_what_a_first_call_builds_is_no_part_of_its_time(card, monkeypatch):
    now, calls = [0.0], []
    monkeypatch.setattr(cards.time, "perf_counter", lambda: now[0])

    def call():
        now[0] += 0.25 if calls else 4.0  # (to the bit: sums of these are exact)
        calls.append(now[0])

    assert cards.clock(call) == 0.25
    assert len(calls) == 1 + cards.CALLS


@pytest.mark.parametrize(("pattern", "paths"), [("tiled-16", 3), ("tiled-32", 2), ("bibd", 2)])
def test_large_tiles_are_not_tried_as_single_connections(card, pattern, paths):
    layer = SparseLinear(256, 256, pattern)
    calls = layer._trials(X)(16, torch.float32, False)
    assert len(calls) == paths
    assert ("cuda" in calls) == (pattern != "tiled-32")


def test_stacks_are_measured(clock):
    clock(sparse=10, dense=30)
    stack = StackedSparseLinear([SparseLinear(256, 272) for _ in range(2)])
    x = torch.randn(2, 8, 256)
    assert stack.path(x) == "cuda"
    dense = kernels.dense_stacked(x, stack.weight, stack.bias, stack.flat, stack.shape)
    torch.testing.assert_close(stack(x), dense)


@pytest.mark.filterwarnings("ignore:`torch.jit")  # torch's forward mode, of its own
def test_words_that_do_not_fit_are_refused_or_warned_of(card, monkeypatch):
    layer = SparseLinear(64, 72, backend="cuda", dtype=torch.float64)
    with pytest.warns(UserWarning, match="'cuda' has no kernels for torch.float64: 'dense'"):
        assert layer.path(X[:, :64].double()) == "dense"
    layer = SparseLinear(64, 72, backend="cuda")
    x = X[:, :64]
    with pytest.warns(UserWarning, match="no rule for forward-mode AD"):
        assert torch.func.jvp(layer, (x,), (x,))[1].shape == (16, 72)
    monkeypatch.setattr(cards, "on_card", lambda t: False)
    for backend in kernels.PATHS:
        with pytest.raises(ValueError, match=rf"backend '{backend}' is for a GPU .*: use 'auto'"):
            SparseLinear(8, 8, backend=backend)(X[:, :8])
    with pytest.raises(ValueError, match="must be one of auto, dense, bag, native, cuda, triton"):
        SparseLinear(8, 8, backend="gpu")
    with pytest.raises(ValueError, match="backend must be one of auto, dense, native"):
        SparseConv2d(8, 8, 3, backend="cuda")


def test_the_environment_names_it_too(card, monkeypatch):
    monkeypatch.setattr(kernels, "_asked", ["cuda"])
    assert SparseLinear(64, 72).path(X[:, :64]) == "cuda"
    monkeypatch.setattr(cards, "on_card", lambda t: False)
    with pytest.raises(ValueError, match="is for a GPU"):
        SparseLinear(64, 72)(X[:, :64])


def test_explain_says_which_path_and_why(clock, capsys):
    clock(sparse=10, dense=30)
    words = ["--in", "256", "--out", "272", "--batch", "16"]
    assert explain.main(words) == 0
    said = capsys.readouterr().out
    assert "card      a card" in said
    assert "cuda              10.0 us    1.00x  <- auto" in said
    assert explain.main([*words, "--dtype", "float64"]) == 0
    said = capsys.readouterr().out
    assert (
        "cuda      not taken: there are kernels for bfloat16 and float32, not for torch.float64"
        in said
    )


def test_explain_without_a_card_says_so(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"--device cuda: torch .* sees no GPU here"):
        explain.main(["--in", "64", "--out", "64", "--device", "cuda"])


def test_explain_names_only_devices_that_are_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for device, words in {
        "cuda:x": "must be cpu, cuda or cuda:N",
        "cuda:": "must be cpu, cuda or cuda:N",
        "tpu": "must be cpu, cuda or cuda:N",
        "cuda:7": "1 CUDA GPUs, from cuda:0 on",
    }.items():
        with pytest.raises(ValueError, match=words):
            explain.main(["--in", "64", "--out", "64", "--device", device])


def test_explain_says_what_to_lower_where_a_card_is_full(clock, monkeypatch):
    def full(call):
        raise cards.Full("CUDA out of memory")

    monkeypatch.setattr(explain, "_clock", lambda x: full)
    with pytest.raises(MemoryError, match=r"batch 16, 256 to 272\): lower --batch"):
        explain.main(["--in", "256", "--out", "272", "--batch", "16"])


def test_a_convolution_elsewhere_is_timed_there_and_densely(monkeypatch):
    """On meta, which has neither numbers nor a compiled kernel, as a card has none for images."""
    generator = torch.Generator
    monkeypatch.setattr(torch, "Generator", lambda device: generator())  # (meta has none)
    layer = SparseConv2d(8, 8, 3, padding=1, device="meta")
    calls = layer._trials(torch.zeros(2, 8, 5, 5, device="meta"))(2, torch.float32, True)
    assert list(calls) == ["dense"]
    assert {grad.device.type for grad in calls["dense"]()} == {"meta"}


def test_calls_that_a_graph_replays_are_measured_as_replayed_ones(card, monkeypatch):
    """A kernel that loses by its launches may gain where there are none."""

    def clock(call):
        before = sum(kernel.calls for kernel in card.values())
        call()
        sparse = sum(kernel.calls for kernel in card.values()) > before
        return (10 if sparse == modes.is_replayed() else 30) / 1e6

    monkeypatch.setattr(cards, "clock", clock)
    layer = SparseLinear(256, 272)
    assert layer._route(X) == "dense"
    with bibd.replayed():
        assert layer._route(X) == "cuda"
        monkeypatch.setattr(cards, "capturing", lambda: True)
        assert layer._route(X) == "cuda"  # (as a recording finds it)
    assert layer._route(X) == "dense"
    names = [name.split(" on ")[1] for name in tune.known()]
    assert names == ["a card train", "a card, replayed train"]
    assert not modes.is_replayed()


class Graphs:
    """The part of torch.cuda that records calls; `fails` is what a capture raises."""

    def __init__(self, fails=None):
        self.fails, self.said = fails, []
        self.default_generators = [self]
        self.Stream = self.current_stream = object

    def current_device(self):
        return 0

    def stream(self, stream):
        return nullcontext()

    def clone_state(self):
        return "as it was"

    def graphsafe_set_state(self, state):
        self.said.append(f"random numbers {state}")

    def CUDAGraph(self):
        return SimpleNamespace(replay=lambda: self.said.append("replay"))

    @contextmanager
    def graph(self, graph, stream, capture_error_mode):
        assert capture_error_mode == "thread_local"  # (pinning threads wait for the card)
        self.said.append("capture")
        yield
        if self.fails:
            raise self.fails


@pytest.mark.parametrize(
    ("fails", "said"),
    [
        (None, ["call", "capture", *["call"] * cards.CALLS, "replay", "replay"]),
        (
            RuntimeError("not permitted"),
            [
                "call",
                "capture",
                *["call"] * cards.CALLS,
                "random numbers as it was",
                *["call"] * cards.CALLS,
            ],
        ),
    ],
)
def test_a_replayed_call_is_timed_by_its_graph_if_one_can_be_recorded(monkeypatch, fails, said):
    graphs = Graphs(fails)
    stand_in = SimpleNamespace(cuda=graphs, OutOfMemoryError=torch.OutOfMemoryError)
    monkeypatch.setattr(cards, "torch", stand_in)
    monkeypatch.setattr(cards, "wait", lambda: None)
    with bibd.replayed():
        assert cards.clock(lambda: graphs.said.append("call")) > 0
    assert graphs.said == said
    graphs.fails, graphs.said = torch.OutOfMemoryError("CUDA out of memory"), []
    with bibd.replayed(), pytest.raises(cards.Full):
        cards.clock(lambda: graphs.said.append("call"))


def test_threads_of_autograd_are_told_of_replays_too():
    seen = []
    with bibd.replayed():
        with bibd.replayed():
            pass
        thread = Thread(target=lambda: seen.append(modes.is_replayed()))
        thread.start()
        thread.join()
    assert seen == [True]
    assert not modes.is_replayed()


def test_compiled_code_goes_by_single_calls_where_replays_were_never_measured(clock):
    clock(sparse=10, dense=30)
    layer = SparseLinear(256, 272)
    assert layer.path(X) == "cuda"
    words = "256 272 4352 1 0", torch.float32, True, X.device
    with bibd.replayed():
        assert route.on_file(*words) == "cuda"
        clock(sparse=30, dense=10)
        assert layer.path(X) == "dense"
        assert route.on_file(*words) == "dense"
    assert route.on_file(*words) == "cuda"


def test_explain_refuses_replays_without_a_card():
    words = ["--in", "256", "--out", "272", "--batch", "16", "--replayed"]
    with pytest.raises(ValueError, match="--replayed is for calls in a CUDA graph: add --device"):
        explain.main(words)
