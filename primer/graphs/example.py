"""A function of ten lines that goes all ways, and what its graph has to be."""


def cell(x, w, u, b, turns=2):  # noqa: D103
    h = w @ x + b
    h = h.tanh()
    for _ in range(turns):
        h = u @ h + b
        h = h.tanh()
    gate = h * h
    gate = gate.exp()
    wave = h.sin()
    return (gate * wave).total()


def nodes(turns: int) -> int:
    """Return the nodes of its graph: 4 leaves, a layer and one for each turn, and the rest."""
    return 4 + 3 * (1 + turns) + 5


def macs(inputs: int, width: int, turns: int) -> int:
    """Return its multiply-adds, for w of width x inputs and u of width x width."""
    return width * inputs + turns * width**2 + (turns + 5) * width
