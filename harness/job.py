"""What a run needs besides its config: a device, the data, and a place to go on from.

    def train(config, seed, job):
        ...
        start = job.attach(net=net, optimizer=optimizer)    # 0, or the epochs a checkpoint has done
        for epoch in range(start, config.epochs):
            ...
            yield row                                       # the runner saves job.state() here

The trainer says what its state is and never writes a file; the runner writes and knows no model.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Job:
    """Everything of a run that is not science; `progress` (0 to 1 of an epoch) is for the bar.

    `starts` holds the weights of the runs that these seeds start from (harness.sweep.start).
    """

    device: str = "cpu"
    data_root: str | None = None
    saved: dict[str, Any] | None = None
    progress: float = 0.0
    starts: tuple[dict[str, Any], ...] = ()
    parts: dict[str, Any] = field(default_factory=dict)

    @property
    def start(self) -> dict[str, Any] | None:
        """The weights to start from, where the arm's config names another run (else None).

        Load them before `attach`, which goes on from a checkpoint where there is one:

            if job.start:
                weights.load_state(net, job.start)
        """
        assert len(self.starts) < 2, "seeds that train as one stack have one state each: job.starts"
        return self.starts[0] if self.starts else None

    def attach(self, **parts: Any) -> int:
        """Register objects that have a state_dict; restore them if there is a checkpoint."""
        self.parts = parts
        if self.saved is None:
            return 0
        for name, part in parts.items():
            part.load_state_dict(self.saved["parts"][name])
        return self.saved["epochs"]

    def state(self, epochs: int, **more: Any) -> dict[str, Any]:
        """What a checkpoint holds after so many epochs."""
        return {
            "epochs": epochs,
            "parts": {k: p.state_dict() for k, p in self.parts.items()},
            **more,
        }
