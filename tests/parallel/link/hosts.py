"""A script on hosts that are really apart: its start, and what became of each rank."""

import json
import os
import subprocess
import sys
import textwrap
import time

from tests.tree import ROOT

SCRIPT = """
    import json, os, sys, time
    from functools import partial
    import torch
    import torch.nn.functional as F
    from parallel import World
    from parallel.identities import averaging as identities
    from parallel.strategy import make
    from parallel.training.training import Training
    from parallel.world.run import run

    words = json.loads(sys.argv[1])

    def task(comm):
        sgd = partial(torch.optim.SGD, **identities.MOMENTUM)
        strategy = make(words["strategy"], **words["options"])
        given = identities.net, identities.task(), F.cross_entropy, sgd, strategy
        session = Training(*given, comm, batch_size=7, seed=5)
        while session.done < words["steps"]:
            session.step()
            print("step", session.done, flush=True)
            if words["slow"] == comm.rank:
                time.sleep(words["pause"])
        yield session.row()

    (row,) = run(World.env(timeout=words["timeout"]), task)
    if os.environ["RANK"] == "0":
        print("loss", row["test_loss"].hex(), os.environ.get("GLOO_SOCKET_IFNAME"), flush=True)
"""


class Ranks:
    """A rank on each host of a net."""

    def __init__(self, net, folder, strategy="all_reduce", steps=12, timeout=20, env=(), **words):
        self.said = {}
        words = dict(options={}, slow=None, pause=0.0) | words
        told = json.dumps(dict(strategy=strategy, steps=steps, timeout=timeout) | words)
        (folder / "script.py").write_text(textwrap.dedent(SCRIPT))
        self.processes = []
        for rank in range(net.hosts):
            own = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
            own |= dict(RANK=str(rank), WORLD_SIZE=str(net.hosts), MASTER_PORT="29500")
            own |= dict(MASTER_ADDR=net.address(0))
            own.pop("GLOO_SOCKET_IFNAME", None)
            self.said[rank] = folder / f"rank_{rank}.log"
            command = [sys.executable, folder / "script.py", told]
            with self.said[rank].open("w") as log:
                files = dict(stdout=log, stderr=subprocess.STDOUT, cwd=folder)
                self.processes.append(net.start(rank, command, env=own | dict(env), **files))

    def text(self, rank):
        """What a rank has said so far."""
        return self.said[rank].read_text()

    def reach(self, step, rank=0, seconds=90):
        """Wait until a rank has done so many steps."""
        end = time.monotonic() + seconds
        while f"step {step}\n" not in self.text(rank):
            assert time.monotonic() < end, self.text(rank)
            assert self.processes[rank].poll() is None, self.text(rank)
            time.sleep(0.02)

    def end(self, seconds):
        """Return the exit codes; all have to end within so many seconds."""
        end = time.monotonic() + seconds
        return [one.wait(max(0.1, end - time.monotonic())) for one in self.processes]
