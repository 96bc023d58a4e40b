"""Two Slurm nodes on this machine: real daemons on the loopback, as root on Debian."""

import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil

CONF = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmdPort={port_of_nodes}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobRequeue=1
SlurmdTimeout=10
KillWait=5
ReturnToService=2
SchedulerParameters=sched_interval=1,bf_interval=1
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={n1} CPUs=1
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={n2} CPUs=1
PartitionName=main Nodes=n1,n2 Default=YES State=UP
"""
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "squeue", "munged")
HERE = all(map(shutil.which, PROGRAMS)) and os.geteuid() == 0


def ports(count):
    """Return free ports of the loopback."""
    with_all = [socket.socket() for _ in range(count)]
    try:
        for one in with_all:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in with_all]
    finally:
        for one in with_all:
            one.close()


class Nodes:
    """A controller, two nodes with one core each, and the environment that talks to them."""

    def __init__(self, folder: Path):
        self.folder, self.daemons = folder, []
        self.env = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
        (folder / "state").mkdir(parents=True)
        names = ("port", "port_of_nodes", "n1", "n2")
        text = CONF.format(
            folder=folder, host=socket.gethostname(), **dict(zip(names, ports(4), strict=True))
        )
        (folder / "slurm.conf").write_text(text)

    def start(self):
        """Start all daemons, and wait until both nodes are idle."""
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        self._daemon(
            "munged", "--foreground", "--force", f"--key-file={key}",
            f"--socket={self.folder}/munge.socket", f"--pid-file={self.folder}/munge.pid",
            f"--log-file={self.folder}/munge.log", f"--seed-file={self.folder}/munge.seed",
        )  # fmt: skip
        self._until(lambda: (self.folder / "munge.socket").exists(), "munged")
        self._daemon("slurmctld", "-D", "-c")
        for node in ("n1", "n2"):
            self.revive(node)
        self._until(lambda: self.ask("sinfo", "-h", "-o", "%t %D") == "idle 2", "two idle nodes")

    def revive(self, node):
        """Start a node's daemon."""
        self._daemon("slurmd", "-D", "-N", node)

    def _daemon(self, *argv):
        with open(self.folder / "daemons.log", "a") as log:
            self.daemons.append(subprocess.Popen(argv, env=self.env, stdout=log, stderr=log))

    def ask(self, *argv):
        """Return what one of Slurm's programs says."""
        done = subprocess.run(argv, env=self.env, capture_output=True, text=True, timeout=60)
        return done.stdout.strip()

    def _until(self, true, what, seconds=60):
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, f"no {what}: {(self.folder / 'daemons.log').read_text()}"
            time.sleep(0.2)

    def of(self, node):
        """Return the processes that a node runs."""
        mine = (p for p in psutil.process_iter() if said(p, "SLURMD_NODENAME") == node)
        return [p for p in mine if said(p, "SLURM_CONF") == self.env["SLURM_CONF"]]

    def kill(self, node):
        """Take a machine away: its daemon, its steps and what they run, all at once."""
        steps = [p.parent() for p in self.of(node)]
        daemon = psutil.Process(int((self.folder / f"slurmd-{node}.pid").read_text()))
        for process in [daemon, *filter(None, steps), *self.of(node)]:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)

    def stop(self):
        """End everything that this cluster has started."""
        self.ask("scancel", "--user=root")
        for node in ("n1", "n2"):
            for process in self.of(node):
                process.kill()
        for daemon in reversed(self.daemons):
            daemon.kill()
            daemon.wait()


def said(process, name):
    """Return an environment variable of a process, if it can be seen."""
    try:
        return process.environ().get(name)
    except psutil.Error:
        return None
