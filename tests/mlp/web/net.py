"""A small net trained on MNIST (arm bibd-16-mnist of plan density, seed 0), and drawn digits.

The net is kept beside this file, for tests that have no MNIST; strokes.json holds ten digits as
lines between points of the unit square.
"""

import json
from pathlib import Path

import torch

from harness.exits import attach
from mlp.experiments import PLANS
from mlp.model import build
from mlp.web.exit import Exits
from mlp.web.packed import round8
from mlp.web.write import write

HERE = Path(__file__).parent
ARM = "bibd-16-mnist"
CONFIG = PLANS["density"].arms[ARM]
STROKES = {int(k): v for k, v in json.loads((HERE / "strokes.json").read_text()).items()}
INPUTS = (28 + 2 * CONFIG.pad) ** 2
TOLD = {"accuracy": 0.962, "macs": 11246.3, "shares": [0.93, 0.07], "thresholds": [0.64]}
FOUND = Exits(10_000, 0.64, [0.9458, 0.9695], TOLD)


def trained():
    """The net that was kept."""
    net = attach(build(CONFIG, INPUTS, 10, 0), (0,), (INPUTS,), 10, head="linear")
    net.load_state_dict(torch.load(HERE / f"{ARM}.pt", weights_only=True))
    return net.eval()


def page(folder, int8=False):
    """The page of that net, and the net as it is on the page."""
    net = trained()
    if int8:
        round8(net)
    return write(net, CONFIG, FOUND, ARM, folder / "digit.html", int8), net
