"""What do tiles cost? Designs of single connections and of dense blocks, at equal connections.

A graphics card multiplies dense tiles of 16 and more far faster than single connections. A design
can be laid over tiles as well as over inputs; then two inputs of a tile meet in every output that
reads them, and fewer pairs of tiles meet at all. 1024 -> 1024 -> 1024 -> 10, 32 connections for
each output of the hidden layers:

    tile 1     32 inputs of a line of AG(2, 32)
    tile 4      8 of the 16 tiles of a line of AG(2, 16)
    tile 16     2 of the  8 tiles of a line of AG(2, 8)
    random     32 inputs anywhere, as many outputs for every input

At side 1 and at random an input is read by 32 outputs, at side 4 by 20 to 36, at side 16 by 16 to
48.
"""

from dataclasses import replace

from harness.plan import Plan
from mlp.plans.balance import BALANCE, LENGTHS

TILES = {1: 32, 4: 8, 16: 2}  # side of a tile, tiles for each output
BASE = replace(BALANCE, hidden=(1024, 1024), data="fashion_mnist", **LENGTHS["short"])
ARMS = {f"tile-{t}": replace(BASE, pattern=f"tiled-{t}x{n}") for t, n in TILES.items()}
ARMS["random"] = replace(BASE, pattern="random_biregular")

PLANS = {
    "tiles": Plan(
        question="What do dense tiles cost in accuracy? Sides 1, 4, 16 at equal connections.",
        arms=ARMS,
        seeds=tuple(range(10)),
        minutes=10,
        expect="Open; a tile of 16 is half a row of an image, whose pixels say much the same.",
        compare=(
            *((f"tile-{t}", "tile-1") for t in TILES if t != 1),
            *((name, "random") for name in ARMS if name != "random"),
        ),
        threads=1,
    ),
}
