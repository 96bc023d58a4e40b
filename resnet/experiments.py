"""Lists plans and verbs of `python -m resnet`, without torch: `--help` and `--list` read this.

smoke paper cpu          the published models                     resnet.plans.published
factors exits groups     patterns, groups and exits together      resnet.plans.parts
"""

from harness.cli import Verb
from resnet.plans import parts, published

PLANS = {**published.PLANS, **parts.PLANS}

VERBS = {
    "costs": Verb(
        "Parameters, MACs, FLOPs, bytes and latency of every model.", "resnet.costs:main"
    ),
    "bench": Verb("Time the early exits of the trained nets of plan exits.", "resnet.bench:main"),
    "export": Verb("The net of a run as a file in ONNX, with its exits.", "resnet.export:main"),
    "page": Verb(
        "A page that reads pictures by the net of a run, and leaves early.", "resnet.web.page:main"
    ),
}
