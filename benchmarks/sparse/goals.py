"""What is asked of each case, as a share of q or a number of times, and what is reached."""

from typing import Any

PEERS = "embedding_bag", "torch CSR", "scipy CSR"
SHIPPED = "embedding_bag", "torch CSR"
DENSE = "plain", "channels_last", "prepacked", "prepacked, channels_last"
# case: (against, sides, at least, aim); a share of q below 1, else a number of times
GOALS: dict[str, tuple[tuple[str, tuple[str, ...], float, float], ...]] = {
    "linear": (
        ("oneDNN", ("oneDNN",), 1 / 5, 1 / 3),
        ("F.linear", ("F.linear",), 0.4, 1 / 2),
        ("best peer", PEERS, 1.5, 2.5),
    ),
    "linear, one sample": (("best peer", PEERS, 1.3, 2),),
    "linear, training": (
        ("oneDNN", ("oneDNN",), 1 / 6, 1 / 4),
        ("best peer", SHIPPED, 2, 3),
    ),
    "conv": (("best dense", DENSE, 1 / 2.5, 1 / 2),),
    "conv, one image": (),
    "conv, training": (("best dense", DENSE, 1 / 3, 1 / 2),),
    "residual net, 1": (("dense", ("channels_last",), 4, 6.5),),
    "residual net, 32": (("dense", ("channels_last",), 4, 5.5),),
    "residual net, 128": (("dense", ("channels_last",), 3, 5),),
    "residual net, training": (("dense", ("channels_last",), 2.5, 3),),
}


def judge(case: str, q: float, times: dict[str, float]) -> list[dict[str, Any]]:
    """Each comparison of a case: ratio, what was asked, what is reached (aim, least or no)."""
    found = []
    for against, sides, *wanted in GOALS[case]:
        there = {side: times[side] for side in sides if side in times}
        best = min(there, key=lambda side: there[side])
        ratio = there[best] / times["ours"]
        least, aim = (w * q if w < 1 else w for w in wanted)
        if against == "F.linear" and times["oneDNN"] > 0.8 * times["F.linear"]:
            continue  # the row above binds alone
        reached = "aim" if ratio >= aim else "least" if ratio >= least else "no"
        line = {"against": against, "side": best, "ratio": round(ratio, 2)}
        found.append(line | {"least": round(least, 2), "aim": round(aim, 2), "reached": reached})
    return found
