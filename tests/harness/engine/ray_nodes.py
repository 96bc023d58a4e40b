"""Two Ray nodes on this machine, with a token: started by the command line, as people do."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from importlib.util import find_spec

import psutil

from tests.harness.engine.slurm_nodes import ports

HERE = find_spec("ray") is not None


class Nodes:
    """A head without cores, two nodes with one core each, and the environment that reaches them."""

    def __init__(self, folder):
        self.folder, self.port = folder, ports(1)[0]
        self.env = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": os.urandom(16).hex()}
        self.env |= {"RAY_TMPDIR": "/tmp", "RAY_ADDRESS": f"127.0.0.1:{self.port}"}
        self.started = []

    def start(self):
        """Start the head and both nodes."""
        self._ray(
            "--head", f"--port={self.port}", "--num-cpus=0", "--include-dashboard=false"
        )  # fmt: skip
        for node in ("n1", "n2"):
            self.revive(node)

    def revive(self, node):
        """Start a node."""
        self._ray(f"--address=127.0.0.1:{self.port}", "--num-cpus=1", f'--resources={{"{node}":1}}')

    def _ray(self, *words):
        before = set(self._all())
        program = [sys.executable, "-m", "ray.scripts.scripts", "start", *words]
        env = {k: v for k, v in self.env.items() if k != "RAY_ADDRESS"}
        done = subprocess.run(
            [*program, "--disable-usage-stats"],
            env=env, capture_output=True, text=True, timeout=120, cwd=self.folder,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        self.started += set(self._all()) - before

    def _all(self):
        """Return the processes of this cluster, by the token in their environment."""
        for process in psutil.process_iter():
            try:
                if process.environ().get("RAY_AUTH_TOKEN") == self.env["RAY_AUTH_TOKEN"]:
                    yield process
            except psutil.Error:
                continue

    def _raylet(self, node):
        for process in self._all():
            line = " ".join(process.cmdline())
            if "raylet" in process.name() and f"{node}" in line.replace('"', ""):
                return process
        raise LookupError(node)

    def busy(self, node):
        """Return whether a member trains on this node."""
        return any("--jobs" in p.cmdline() for p in self._raylet(node).children(recursive=True))

    def kill(self, node):
        """Take a machine away: its raylet and all that it has started, at once."""
        raylet = self._raylet(node)
        for process in [raylet, *raylet.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)

    def stop(self):
        """End everything that this cluster has started."""
        for process in self._all():
            if process.pid != os.getpid():
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        time.sleep(0.5)
