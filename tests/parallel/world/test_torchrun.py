"""What torchrun starts: each rank is a process, and one script is all of them."""

import os
import subprocess
import sys
import textwrap

import pytest
import torch
import torch.nn.functional as F

from parallel import DataParallel
from parallel.identities import averaging as identities
from parallel.strategy import make
from tests.tree import ROOT

pytestmark = pytest.mark.slow


def launch(folder, script, *words, restarts=0, ranks=2):
    """Some ranks of a script, in a folder of their own."""
    folder.mkdir(exist_ok=True)
    (folder / "script.py").write_text(textwrap.dedent(script))
    argv = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    argv += [f"--nproc-per-node={ranks}"]
    argv += [f"--max-restarts={restarts}", "--monitor-interval=0.1", "script.py", *words]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(argv, capture_output=True, text=True, timeout=150, env=env, cwd=folder)


SCRIPT = """
    import os, signal, sys
    from functools import partial
    from pathlib import Path
    import torch
    import torch.nn.functional as F
    from parallel import World
    from parallel.identities import averaging as identities
    from parallel.training.training import Training
    from parallel.strategy import make
    from parallel.world.run import run
    from harness.record.checkpoint import load_checkpoint, save_checkpoint

    def task(comm):
        sgd = partial(torch.optim.SGD, **identities.MOMENTUM)
        words = identities.net, identities.task(), F.cross_entropy, sgd, make("local_sgd", period=3)
        session = Training(*words, comm, batch_size=7, seed=5)
        place = Path(sys.argv[1]) / f"rank_{comm.rank}.cp.pt"
        saved = load_checkpoint(place)
        if saved:
            session.load_state_dict(saved)
        while session.done < 12:
            session.step()
            if session.done == 8 and comm.rank == 1 and not saved and len(sys.argv) > 2:
                os.kill(os.getpid(), signal.SIGKILL)
            if session.done % 6 == 0:
                save_checkpoint(place, session.state_dict())
        yield session.row()

    (row,) = run(World.env(timeout=20), task)
    (again,) = run(World.env(timeout=20), task)  # a second meeting in the same processes
    assert again["step"] == 12
    if os.environ["RANK"] == "0":
        print("loss", row["test_loss"].hex(), row["bytes_payload"])
"""


def end_of(folder, *words):
    """The last line of rank 0."""
    done = launch(folder, SCRIPT, str(folder), *words, restarts=1)
    assert done.returncode == 0, done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if line.startswith("loss")]


def test_torchrun_restarts_after_a_kill_and_ends_where_an_uninterrupted_run_does(tmp_path):
    """World.env(); and both equal the simulation."""
    whole = end_of(tmp_path / "whole")
    assert len(whole) == 1
    assert end_of(tmp_path / "killed", "kill") == whole
    strategy = make("local_sgd", period=3)
    found = identities.trained(strategy, workers=2, steps=12)
    assert float.fromhex(whole[0].split()[1]) == pytest.approx(found.test()[0], abs=1e-12)


ALONE = """
    import sys
    import torch
    import torch.nn.functional as F
    from parallel import DataParallel
    from parallel.identities import averaging as identities

    net = DataParallel(style=sys.argv[1], model=identities.net(), timeout=10)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    data = identities.task()
    for step in range(4):
        if step == 2 and net.comm.rank == 0:
            net.state_dict()
        optimizer.zero_grad()
        F.cross_entropy(net(data.train_x[:4]), data.train_y[:4]).backward()
        optimizer.step()
"""


@pytest.mark.parametrize(
    ("style", "said"),
    [
        ("torch", "rank 0 at eval() or state_dict() after step 2, rank 1 at step 3"),
        ("elastic_gossip", "rank 0 did not answer"),  # (nobody asks where others are)
    ],
)
def test_a_rank_that_asks_alone_for_the_consensus_is_told(tmp_path, style, said):
    """The habit of `if rank == 0: save(net.state_dict())`."""
    done = launch(tmp_path, ALONE, style)
    assert done.returncode == 1
    assert said in done.stderr
    assert "state_dict() and .module are to be called by all ranks together" in done.stderr


WRAPPED = """
    import sys
    import torch
    import torch.nn.functional as F
    from parallel import DataParallel
    from parallel.identities import averaging as identities

    import os
    rank = int(os.environ["RANK"])
    styles = "torch", "localSGD", "elastic_gossip", "easgd", "ist", "bf16", "top_k", "power_sgd"
    for style in (*styles, "push_sum"):
        options = {"easgd": dict(alpha=0.2), "localSGD": dict(iterations=4), "ist": dict(iterations=4)}
        options |= {"top_k": dict(fraction=0.2), "push_sum": dict(probability=0.6)}
        net = DataParallel(style=style, model=identities.net(), **options.get(style, {}))
        optimizer = torch.optim.SGD(net.parameters(), **identities.MOMENTUM)
        data = identities.task()
        for step in range(10):
            index = torch.arange(7) + step  # four samples for rank 0, three for rank 1
            own = index[:4] if rank == 0 else index[4:]
            optimizer.zero_grad()
            F.cross_entropy(net(data.train_x[own]), data.train_y[own]).backward()
            optimizer.step()
        state = net.state_dict()
        assert not net.eval().training
        said = [style, *(v.double().sum().item().hex() for v in state.values())]
        print(*said, file=open(f"rank_{rank}", "a"))  # (a pipe shared by ranks mixes their lines)
"""


def alone(net, steps, samples):
    """Train a wrapper in this process; the sums of its tensors."""
    optimizer = torch.optim.SGD(net.parameters(), **identities.MOMENTUM)
    data = identities.task()
    for step in range(steps):
        index = torch.arange(samples) + step
        optimizer.zero_grad()
        F.cross_entropy(net(data.train_x[index]), data.train_y[index]).backward()
        optimizer.step()
    return [v.double().sum().item() for v in net.state_dict().values()]


def test_the_wrapper_under_torchrun_is_the_wrapper_alone(tmp_path):

    done = launch(tmp_path, WRAPPED)
    assert done.returncode == 0, done.stdout + done.stderr
    told, other = ((tmp_path / f"rank_{r}").read_text() for r in range(2))
    assert told == other  # every rank has the consensus, and EASGD's centre
    lines = [line.split() for line in told.splitlines()]
    assert len(lines) == 9
    options = {"easgd": dict(alpha=0.2), "localSGD": dict(iterations=4), "ist": dict(iterations=4)}
    options |= {"top_k": dict(fraction=0.2), "push_sum": dict(probability=0.6)}
    for style, *sums in lines:
        words = dict(workers=None if style == "torch" else 2) | options.get(style, {})
        net = DataParallel(style=style, model=identities.net(), **words)
        mine = alone(net, steps=10, samples=7)
        assert mine == pytest.approx([float.fromhex(v) for v in sums], abs=1e-12), style


MACHINES = """
    import os
    import torch
    import torch.nn.functional as F
    from parallel import DataParallel
    from parallel.identities import averaging as identities

    rank, data = int(os.environ["RANK"]), identities.task()
    net = DataParallel(style="hierarchical", model=identities.net(), iterations=3)
    told, tell = [], net.comm.aside.tell
    net.comm.aside.tell = lambda *w, among=0, **k: told.append(among) or tell(*w, among=among, **k)
    optimizer = torch.optim.SGD(net.parameters(), **identities.MOMENTUM)
    for step in range(6):
        own = (torch.arange(10) + step).tensor_split(4)[rank]
        optimizer.zero_grad()
        F.cross_entropy(net(data.train_x[own]), data.train_y[own]).backward()
        optimizer.step()
    # numbers of samples in each step; of all once for the check of ranks, and at two means
    assert sorted(told) == [0, 0, 0, 2, 2, 2, 2, 2, 2], told
    sums = [v.sum().item().hex() for v in net.state_dict().values()]
    print(net.bytes_sent, *sums, file=open(f"rank_{rank}", "w"))
"""


def test_two_machines_of_two_ranks_are_the_wrapper_alone(tmp_path):
    """And a machine hears of the other's samples only where weights are averaged."""
    done = launch(tmp_path, MACHINES, ranks=4)
    assert done.returncode == 0, done.stdout + done.stderr
    told = [(tmp_path / f"rank_{r}").read_text().split() for r in range(4)]
    net = DataParallel(style="hierarchical", model=identities.net(), workers=4, iterations=3)
    mine = alone(net, steps=6, samples=10)
    assert sum(float(sent) for sent, *_ in told) == net.bytes_sent
    for _, *sums in told:
        assert [float.fromhex(v) for v in sums] == pytest.approx(mine, abs=1e-12)


RANKS = """
    import copy, pickle
    import torch
    import torch.nn.functional as F
    import torch.distributed as dist
    from torch.nn.parallel import DistributedDataParallel
    from parallel import DataParallel
    from parallel.identities import averaging as identities

    net = DataParallel("torch", model=identities.net(), timeout=20)
    rank, data = net.comm.rank, identities.task()
    other = DistributedDataParallel(identities.net())
    copy.deepcopy(net)
    try:
        pickle.dumps(net)
    except TypeError as error:
        assert "save net.state_dict()" in str(error)
    for model in (net, other):
        optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
        for step in range(6):
            index = torch.arange(8)[4 * rank : 4 * rank + 4] + step
            optimizer.zero_grad()
            for part in index.split(2):
                F.cross_entropy(model(data.train_x[part]), data.train_y[part]).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            optimizer.step()
    assert identities.apart(net.state_dict(), other.module.state_dict()) < 1e-9
    open(f"rank_{rank}", "w").close()
    if rank == 0:
        F.cross_entropy(net.train()(data.train_x), data.train_y).backward()
"""


def test_under_torchrun_clipping_and_accumulating_are_those_of_ddp(tmp_path):
    """And one batch more on rank 0 is told as that."""
    done = launch(tmp_path, RANKS)
    assert {p.name for p in tmp_path.glob("rank_*")} == {"rank_0", "rank_1"}, done.stderr
    assert done.returncode == 1
    assert "all ranks need the same number of batches" in done.stderr


FEWER = """
    import sys
    import torch
    import torch.nn as nn
    import torch.nn.functional as F
    from parallel import DataParallel
    from parallel.identities import averaging as identities

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.l, self.t = nn.Linear(4, 3), nn.Parameter(torch.tensor(0.0))

        def forward(self, x):
            return self.l(x), self.t.expand(len(x) or 1)

    data = identities.task()
    net = DataParallel("all_reduce", model=Net().double(), timeout=10)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    rank, what = net.comm.rank, sys.argv[1]
    for step in range(3):
        n = 0 if rank == 1 and what == "nan" else 4
        optimizer.zero_grad()
        outputs, t = net(data.train_x[:n])
        loss = F.cross_entropy(outputs, data.train_y[:n]) * torch.exp(-t.mean()) + t.mean()
        if what != "skip" or rank == 0 or step:
            loss.backward()
        if what == "die" and rank == 1 and step == 1:
            raise KeyError("boom")
        optimizer.step()
    total = sum(v.sum() for v in net.state_dict().values())
    assert torch.isfinite(total)
    open(f"rank_{rank}", "w").write(total.item().hex())
"""


@pytest.mark.parametrize("what", ["nan", "skip", "die"])
def test_ranks_that_have_less_to_do(what, tmp_path):
    """No samples (and NaN for it), no backward in the first step, an end in between."""
    done = launch(tmp_path, FEWER, what)
    if what == "die":
        assert "KeyError: 'boom'" in done.stderr
        assert "script ended" not in done.stderr
        assert "are to be called by all ranks" not in done.stderr
        return
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "rank_0").read_text() == (tmp_path / "rank_1").read_text()
