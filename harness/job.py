"""A Job: what a run needs besides its config, which is a device, data and a place to go on from.

    def train(config, seed, job):
        ...
        start = job.attach(net=net, optimizer=optimizer)    # 0, or the epochs a checkpoint has done
        for epoch in range(start, config.epochs):
            ...
            yield row                                       # the runner saves job.state() here

The trainer says what its state is and never writes a file; the runner writes and knows no model.
Of a trainer that attaches nothing no checkpoint is kept: what is cut short begins anew.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Job:
    """What a run has besides its science; `progress` (0 to 1 of an epoch) drives the bar.

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
        """The weights to start from, if the arm's config names another run; else None.

        Load them before `attach`, which goes on from a checkpoint where there is one:

            if job.start:
                weights.load_state(net, job.start)
        """
        assert len(self.starts) < 2, "seeds that train as one stack have one state each: job.starts"
        return self.starts[0] if self.starts else None

    def attach(self, **parts: Any) -> int:
        """Register objects that have a state_dict; restore them from a checkpoint, if any.

        Returns how many epochs are done.
        """
        self.parts = parts
        if self.saved is None:
            return 0
        for name, part in parts.items():
            part.load_state_dict(self.saved["parts"][name])
        return self.saved["epochs"]

    def state(self, epochs: int, **more: Any) -> dict[str, Any]:
        """Return what a checkpoint holds after so many epochs."""
        return {
            "epochs": epochs,
            "parts": {k: p.state_dict() for k, p in self.parts.items()},
            **more,
        }
