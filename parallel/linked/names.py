"""Strategies whose seconds can be told, as study link calls them; known without loading torch."""

from parallel.plans.link import KINDS, SHARED

ALL = KINDS | SHARED
# (independent subnets send what their layers are, and the other one changes once)
NAMES = tuple(name for name in ALL if name not in ("ist", "post-local-sgd"))
SHAPED = ("power-sgd",)  # which send of each tensor what its shape says
