"""Cables with delay and loss where the kernel has no netem: packets go through this process.

Each host gets a TUN device, `eth0`, whose other end is read here. A packet leaves its host at the
cable's rate, is under way for the delay, and is written to the host of its address; a share is
lost. Started by parallel.link.net, which says on the standard input which cable is cut or mended.
"""

import fcntl
import heapq
import json
import os
import random
import struct
import sys
import threading
import time

from parallel.link.space import enter

MAKE = 0x400454CA  # TUNSETIFF
TUN = 0x1001  # IFF_TUN | IFF_NO_PI
LARGEST = 65536  # bytes of a packet
WAITING = 0.2  # seconds of sending that a cable holds back; what is more is dropped, as by tbf


class Cables:
    """All cables of a net, and what is under way on them."""

    def __init__(self, devices: list[int], rate: float, delay: float, loss: float):
        self.devices, self.rate, self.delay, self.loss = devices, rate, delay, loss
        self.free = [0.0] * len(devices)  # from when each cable can send again
        self.down: set[int] = set()
        self.under_way: list[tuple[float, int, int, bytes]] = []
        self.told, self.count = threading.Condition(), 0

    def read(self, host: int) -> None:
        """Take the packets of a host, for ever."""
        while True:
            packet = os.read(self.devices[host], LARGEST)
            with self.told:
                self._take(host, packet, time.monotonic())

    def _take(self, host: int, packet: bytes, now: float) -> None:
        target = packet[19] - 1  # (the last byte of its IPv4 address)
        known = packet[0] >> 4 == 4 and 0 <= target < len(self.devices)
        if not known or self.down & {host, target} or random.random() < self.loss:
            return
        begin = max(now, self.free[host])
        if begin - now > WAITING:
            return
        self.free[host] = begin + (8 * len(packet) / self.rate if self.rate else 0.0)
        self.count += 1
        heapq.heappush(self.under_way, (self.free[host] + self.delay, self.count, target, packet))
        self.told.notify()

    def write(self) -> None:
        """Deliver each packet when its time has come, for ever."""
        while True:
            with self.told:
                while not self.under_way:
                    self.told.wait()
                left = self.under_way[0][0] - time.monotonic()
                if left > 0:
                    self.told.wait(left)
                    continue
                _, _, target, packet = heapq.heappop(self.under_way)
                lost = target in self.down
            if not lost:
                os.write(self.devices[target], packet)


def device(space: str) -> int:
    """Make `eth0` in a network namespace, and return the end that is read here."""
    enter(space)
    end = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(end, MAKE, struct.pack("16sH22x", b"eth0", TUN))
    return end


def main() -> None:
    """Forward packets until the standard input is closed."""
    words = json.loads(sys.argv[1])
    cables = Cables([device(s) for s in words.pop("spaces")], **words)
    for host in range(len(cables.devices)):
        threading.Thread(target=cables.read, args=(host,), daemon=True).start()
    threading.Thread(target=cables.write, daemon=True).start()
    print("ready", flush=True)
    for line in sys.stdin:
        state, host = line.split()
        with cables.told:
            (cables.down.add if state == "down" else cables.down.discard)(int(host))
        print("done", flush=True)


if __name__ == "__main__":
    main()
