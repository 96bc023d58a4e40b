"""Lists the plans and verbs of `python -m mlp`, without torch: `--help` and `--list` read this.

smoke paper fashion notebook    the twelve models of the original study    mlp.plans.twelve
balance density                 patterns at equal connections              mlp.plans.balance
tiles                           designs of dense blocks                    mlp.plans.tiles
"""

from harness.cli import Verb
from mlp.plans import balance, tiles, twelve

PLANS = {**twelve.PLANS, **balance.PLANS, **tiles.PLANS}

VERBS = {
    "costs": Verb(
        "Connections, parameters, MACs, FLOPs, bytes and latency of each model.", "mlp.costs:main"
    ),
    "export": Verb("The net of a run as a file in ONNX.", "mlp.export:main"),
    "page": Verb("One HTML file that reads drawn digits, without a server.", "mlp.web.page:main"),
}
