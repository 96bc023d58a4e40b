"""Draws plan `groups`: what vertical partitioning costs and saves."""

from harness.experiment import Experiment
from harness.result import figure, titles
from harness.result.pictures import Drawers, Picture
from harness.result.stats import interval

FAMILIES = {"dense": "dense in groups", "iddl": "modular in groups"}
METRICS = {
    "test_accuracy": "test accuracy",
    "test_loss": "test loss",
    "macs": "multiply-adds per image (M)",
}


def drawers(whole: Experiment, note: str) -> Drawers:
    """Return what draws the picture, by its name."""
    return {"fig_resnet_sweep": lambda: figures(whole, note)}


def figures(whole: Experiment, note: str) -> list[Picture]:
    """Draw one figure of three panels over the number of groups."""
    from matplotlib.figure import Figure

    data = {m: {f: over_groups(whole, m, f) for f in FAMILIES} for m in METRICS}
    with figure.style():
        fig = Figure(figsize=(10.5, 3.6))
        for ax, metric in zip(fig.subplots(1, 3), METRICS, strict=True):
            for i, (pattern, label) in enumerate(FAMILIES.items()):
                points = data[metric][pattern]
                if points["x"]:
                    x = figure.beside(points["x"], i, len(FAMILIES))
                    figure.bars(ax, points | {"x": x}, i, label)
            ax.set_xscale("log", base=2)
            ticks = sorted({x for d in data[metric].values() for x in d["x"]})
            ax.set_xticks(ticks, [str(x) for x in ticks])
            ax.minorticks_off()
            ax.set(xlabel="groups", ylabel=METRICS[metric])
        fig.axes[0].legend()
        titles.letters(fig.axes)
        titles.headline(fig, note)
    return [("fig_resnet_sweep", fig, {"note": note, "series": data})]


def over_groups(whole: Experiment, metric: str, pattern: str) -> dict[str, list]:
    """Return mean and interval of a metric for each number of groups."""
    values: dict[int, list[float]] = {}
    for run in whole.done():
        if run.config["pattern"] == pattern:
            value = run.facts["macs"] / 1e6 if metric == "macs" else run.rows[-1][metric]
            values.setdefault(run.config["groups"], []).append(value)
    found = {x: interval(values[x]) for x in sorted(values)}
    return {
        "x": list(found),
        **figure.columns(found.values()),
    }
