"""What a cable does to packets, as a value: rate, delay, loss."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Cable:
    """The cable by which each host reaches the others.

    Args:
        rate: Bits a second that leave a host; 0: as fast as this machine can.
        delay: Seconds that each packet is under way.
        loss: Share of packets that never come.
    """

    rate: float = 0.0
    delay: float = 0.0
    loss: float = 0.0

    def __post_init__(self):
        for name in ("rate", "delay", "loss"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"Cable: {name} is 0 or more, got {getattr(self, name)}")
        if self.loss >= 1:
            raise ValueError(f"Cable: loss is a share below 1 of all packets, got {self.loss}")
