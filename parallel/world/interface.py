"""Finds the interface by which the master is reached, for ranks on several machines.

gloo tells the others the address that this host's name has here. On Debian and its kin, and in many
containers, that is 127.0.1.1: nobody else can reach it. So where $GLOO_SOCKET_IFNAME is unset, and
the master is not on the loopback, it is set to the interface whose address this process has when it
speaks to the master.
"""

import contextlib
import fcntl
import ipaddress
import os
import socket
import struct
import sys
from pathlib import Path

VARIABLE = "GLOO_SOCKET_IFNAME"
ADDRESS_OF = 0x8915  # SIOCGIFADDR: the IPv4 address of an interface
ADDRESSES_6 = Path("/proc/net/if_inet6")


def choose(master: str, port: int) -> None:
    """Set $GLOO_SOCKET_IFNAME, if it is unset and an interface is found."""
    if not os.environ.get(VARIABLE) and (name := towards(master, port)):
        os.environ[VARIABLE] = name


def towards(master: str, port: int) -> str | None:
    """Return the interface that leads to a host; None: the loopback, or not known."""
    own = own_address(master, port)
    if own is None or own.is_loopback or sys.platform != "linux":
        return None
    named = (name for _, name in socket.if_nameindex() if own in addresses(name))
    return next(named, None)


def own_address(master: str, port: int) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address with which this host speaks to another; nothing is sent for it."""
    with contextlib.suppress(OSError):
        for family, kind, _, _, place in socket.getaddrinfo(master, port, type=socket.SOCK_DGRAM):
            with contextlib.suppress(OSError), socket.socket(family, kind) as asked:
                asked.connect(place)
                return ipaddress.ip_address(asked.getsockname()[0].partition("%")[0])
    return None


def addresses(name: str) -> set[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """Return the first IPv4 address of an interface, and all IPv6 ones."""
    found = set()
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        told = fcntl.ioctl(asked.fileno(), ADDRESS_OF, struct.pack("256s", name.encode()[:15]))
        found.add(ipaddress.IPv4Address(told[20:24]))
    lines = ADDRESSES_6.read_text().splitlines() if ADDRESSES_6.exists() else []
    for words in map(str.split, lines):
        if words[-1] == name:
            found.add(ipaddress.IPv6Address(bytes.fromhex(words[0])))
    return found


def advice() -> str:
    """Say what to set, where others cannot reach the address that this rank tells them."""
    master, port = os.environ.get("MASTER_ADDR", "localhost"), os.environ.get("MASTER_PORT", "1")
    if _is_loopback(master):
        return ""
    chosen, found = os.environ.get(VARIABLE), towards(master, int(port))
    if chosen:
        other = bool(found) and chosen != found
        return f"; {VARIABLE} is {chosen}, and {master} is reached by {found}" * other
    own = socket.gethostname()
    return (
        f"; this host's name, {own}, is a loopback address here, which other machines cannot "
        f"reach: set {VARIABLE} to the interface towards {master} (`ip route get {master}` says it)"
    ) * _is_loopback(own)


def _is_loopback(host: str) -> bool:
    try:
        found = socket.getaddrinfo(host, None)
    except OSError:
        return False
    return ipaddress.ip_address(str(found[0][4][0]).partition("%")[0]).is_loopback
