"""Hosts that are really apart, on one Linux machine, by root: network namespaces on a bridge.

    host 0: eth0 ---+
    host 1: eth0 ---+--- bridge, in a namespace of its own; each cable has a rate, delay and loss
    host 2: eth0 ---+

    with Net(2, Cable(rate=100e6, delay=0.01)) as net:
        first = net.start(0, ["python", "script.py"])      # a subprocess.Popen
        net.cut(1)                                         # ... and net.mend(1)

Each host has its own loopback, counters and table of names, in which its own name is 127.0.1.1, as
Debian has it. The rate is tbf's. Delay and loss are netem's; where the kernel has none, packets are
forwarded by a process (parallel.link.forwarder), which is good for some 100 Mbit/s.
"""

import contextlib
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from parallel.link.cable import Cable

NAMES = Path("/etc/netns")  # what `ip netns exec` puts in the place of /etc
NUMBERS = itertools.count()
BARE = Cable()
WAIT = 20.0  # seconds for any of these commands


def why_not() -> str:
    """Say why there can be no such hosts here; "" if there can."""
    if sys.platform != "linux":
        return f"network namespaces are Linux's, and this is {sys.platform}"
    if os.geteuid():
        return "network namespaces are made by root, and this is another user"
    absent = [tool for tool in ("ip", "tc") if not shutil.which(tool)]
    return f"no {' and no '.join(absent)} here (Debian: apt-get install iproute2)" * bool(absent)


class Net:
    """So many hosts on a bridge.

    Args:
        hosts: How many.
        cable: What is between each of them and the bridge.
        six: Whether they have IPv6 addresses only.
        user_space: Whether packets are forwarded by a process even where the kernel has netem.

    Raises:
        OSError: where there can be none.
    """

    def __init__(
        self,
        hosts: int,
        cable: Cable = BARE,
        six: bool = False,
        user_space: bool = False,
    ):
        if reason := why_not():
            raise OSError(f"Net: {reason}")
        self.hosts, self.cable, self.six = hosts, cable, six
        self.prefix = f"iddl-{os.getpid()}-{next(NUMBERS)}"
        self.bridge = f"{self.prefix}-bridge"
        slow = bool(cable.delay or cable.loss)
        self.netem = slow and not user_space and has_netem()
        self.forwarder: Any = None
        self.user_space = user_space or (slow and not self.netem)
        if self.user_space and six:
            raise OSError("Net: the forwarder of this project knows IPv4 only: take six=False")

    def __enter__(self) -> "Net":
        sweep()
        try:
            lay(self)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def space(self, host: int) -> str:
        """Return the name of a host's namespace."""
        return f"{self.prefix}-{host}"

    def address(self, host: int) -> str:
        """Return the address of a host."""
        return f"fd77::{host + 1}" if self.six else f"10.77.0.{host + 1}"

    def start(self, host: int, command: Sequence[object], **options: Any) -> subprocess.Popen:
        """Start a program on a host, in a session of its own."""
        words = ["ip", "netns", "exec", self.space(host), *map(str, command)]
        return subprocess.Popen(words, start_new_session=True, **options)

    def cut(self, host: int) -> None:
        """Pull a host's cable at the other end."""
        self._cable(host, "down")

    def mend(self, host: int) -> None:
        """Put it in again."""
        self._cable(host, "up")

    def kill(self, host: int) -> None:
        """Kill all that runs on a host, as when its power fails."""
        for pid in _call("ip", "netns", "pids", self.space(host)).split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)

    def sent(self, host: int) -> int:
        """Return the bytes that have left a host by its cable."""
        told = _call("ip", "netns", "exec", self.space(host), "cat", "/proc/net/dev")
        (line,) = (line for line in told.splitlines() if "eth0:" in line)
        return int(line.partition(":")[2].split()[8])

    def close(self) -> None:
        """Kill what is left, and take all down."""
        if self.forwarder:
            self.forwarder.kill()
            self.forwarder.communicate()
        remove(self.prefix)

    def _cable(self, host: int, state: str) -> None:
        if self.forwarder:
            print(state, host, file=self.forwarder.stdin, flush=True)
            self.forwarder.stdout.readline()
        else:
            _call("ip", "-n", self.bridge, "link", "set", f"v{host}", state)


def lay(net: Net) -> None:
    """Make the hosts of a net, and the cables between them."""
    for host in range(net.hosts):
        _host(net, host)
    if net.user_space:
        net.forwarder = _forwarder(net)
    else:
        _bridge(net)
    for host in range(net.hosts):
        _address(net, host)


def _host(net: Net, host: int) -> None:
    space = net.space(host)
    _call("ip", "netns", "add", space)
    _call("ip", "-n", space, "link", "set", "lo", "up")
    (NAMES / space).mkdir(parents=True)
    own = socket.gethostname()
    others = [f"{net.address(i)} host{i}" for i in range(net.hosts)]
    lines = ["127.0.0.1 localhost", "::1 localhost", f"127.0.1.1 {own}", *others]
    (NAMES / space / "hosts").write_text("\n".join(lines) + "\n")


def _bridge(net: Net) -> None:
    inside = "ip", "-n", net.bridge, "link"
    _call("ip", "netns", "add", net.bridge)
    _call(*inside, "add", "bridge", "type", "bridge")
    _call(*inside, "set", "bridge", "up")
    for host in range(net.hosts):
        here = net.space(host)
        pair = "type", "veth", "peer", "name", "eth0", "netns", here
        _call(*inside, "add", f"v{host}", *pair)
        _call(*inside, "set", f"v{host}", "master", "bridge", "up")
        _shape(net, here)


def _shape(net: Net, space: str) -> None:
    add = "ip", "netns", "exec", space, "tc", "qdisc", "add", "dev", "eth0"
    cable, limit = net.cable, ("limit", "100000")
    rate = ["rate", f"{cable.rate:.0f}bit"] if cable.rate else []
    if net.netem:
        lost = ["loss", f"{100 * cable.loss:g}%"] if cable.loss else []
        _call(*add, "root", "netem", *limit, "delay", f"{cable.delay}s", *lost, *rate)
    elif rate:
        _call(*add, "root", "tbf", *rate, "burst", "64kb", "latency", "200ms")


def _forwarder(net: Net) -> Any:
    words = dict(spaces=[net.space(host) for host in range(net.hosts)]) | asdict(net.cable)
    command = [sys.executable, "-m", "parallel.link.forwarder", json.dumps(words)]
    pipe, at = subprocess.PIPE, Path(__file__).resolve().parents[2]
    found = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=at)
    assert found.stdout
    if not found.stdout.readline():
        raise OSError("Net: the forwarder of packets did not start (is there a /dev/net/tun?)")
    return found


def _address(net: Net, host: int) -> None:
    inside = "ip", "-n", net.space(host)
    with_bits = f"{net.address(host)}/{64 if net.six else 24}"
    if net.user_space:  # (fewer packets, which are what costs there)
        _call(*inside, "link", "set", "eth0", "mtu", "9000")
    _call(*inside, "addr", "add", with_bits, "dev", "eth0", *["nodad"] * net.six)
    _call(*inside, "link", "set", "eth0", "up")


def has_netem() -> bool:
    """Return whether this kernel delays packets by itself."""
    probe = f"iddl-{os.getpid()}-{next(NUMBERS)}-probe"
    _call("ip", "netns", "add", probe)
    try:
        add = "ip", "netns", "exec", probe, "tc", "qdisc", "add", "dev", "lo", "root"
        _call(*add, "netem", "delay", "1ms")
    except OSError:
        return False
    finally:
        _call("ip", "netns", "del", probe)
    return True


def remove(prefix: str) -> None:
    """Kill what runs in the namespaces of this prefix, and remove them."""
    for space in spaces():
        if space.startswith(f"{prefix}-"):
            try:
                _remove(space)
            except OSError:
                if space in spaces():  # (else another process has swept it meanwhile)
                    raise
            shutil.rmtree(NAMES / space, ignore_errors=True)


def _remove(space: str) -> None:
    for pid in _call("ip", "netns", "pids", space).split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    _call("ip", "netns", "del", space)


def sweep() -> None:
    """Remove what processes have left behind that were killed."""
    for space in spaces():
        pid = space.split("-")[1]
        if not Path(f"/proc/{pid}").exists():
            remove("-".join(space.split("-")[:3]))


def spaces() -> list[str]:
    """Return the names of all of this project's namespaces."""
    lines = _call("ip", "netns", "list").splitlines()
    return [name for line in lines if (name := line.split()[0]).startswith("iddl-")]


def _call(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=WAIT)
    if done.returncode:
        raise OSError(f"Net: `{' '.join(words)}` failed: {done.stderr.strip()}")
    return done.stdout
