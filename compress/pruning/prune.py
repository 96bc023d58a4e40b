"""`prune(net, density)`: which weights of a net stay, by a score and a scope.

    masks = compress.prune(net, 0.1)                            the largest tenth of all weights
    masks = compress.prune(net, 0.1, "snip", "erk", data=(x, y))
    print(masks)                                                layer, kept, of, density

The net is not changed: `Masked(net, masks)` keeps it masked while it trains, `freeze(net, masks)`
makes sparse layers of it.

    scope     who competes with whom
    global    all weights of the net; no layer is left with none
    layer     the weights of a layer, which all keep the same share
    erk       the same with shares by the Erdos-Renyi-kernel rule (compress.pruning.densities)

Equal scores: the earlier place stays. Biases are never pruned.
"""

import copy
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import nn

from compress.pruning import choose, densities
from compress.pruning.asked import Asked, Loss, Scores
from compress.pruning.layers import found, layer_of, left_out, refuse_broken
from compress.pruning.masks import Masks, all_kept, parameters, zero
from compress.pruning.schedule import steps
from compress.pruning.scores import ROUNDS, SCORES, Score
from harness.names import check, unknown

Scope = Literal["global", "layer", "erk"]
SCOPES = get_args(Scope)
BEST = "it keeps its best"


class KeptOne(UserWarning):
    """Warns that a layer would have been left without a weight, and keeps its best one."""


def prune(
    net: nn.Module,
    density: float | Mapping[str, float],
    score: Score = "magnitude",
    scope: Scope | None = None,
    *,
    data: Any = None,
    loss: Loss = F.cross_entropy,
    exclude: Sequence[str] | str = (),
    within: Mapping[str, torch.Tensor] | None = None,
    rounds: int | None = None,
    seed: int = 0,
) -> Masks:
    """Return masks of the weights that stay.

    Args:
        net: Any module; its nn.Linear and nn.Conv2d layers are pruned. Sparse layers of bibd stay
            as they are, and a note of the masks names them.
        density: The share of all their weights that stays, in (0, 1]; or the share of each layer,
            by name (layers that are not named stay whole).
        score: What a weight is worth: "magnitude", "random", "snip", "grasp", "synflow" or
            "wanda" (compress.pruning.scores).
        scope: Who competes with whom: "global", by default, all with all; "layer", every layer for
            itself, by default of wanda, which compares the weights of one output; "erk", the same
            with more left in thin layers.
        data: (x, y), or a list of such pairs, for snip and grasp; x is enough for wanda, and for
            synflow, which reads its shape only.
        loss: Of answers and targets, for snip and grasp.
        exclude: Names of layers that stay whole and do not count, with * and ?.
        within: Masks; what they leave out stays out, and counts among the weights that there are.
        rounds: Score and prune so often, on the way down in equal ratios; by default once, and 100
            times for synflow.
        seed: Of random scores.

    Raises:
        ValueError: an unknown name; a density out of range; weights that are shared, lazy, computed
            or not finite; data that the score needs.
    """
    check("score", score, SCORES)
    weights = found(net, exclude)
    shares = _shares(density, weights)
    among = _scope(scope, score, shares)
    rounds = ROUNDS.get(score, 1) if rounds is None else _count(rounds)
    whole = all_kept(weights) if within is None else _within(net, within, weights)
    masks = whole
    for share in steps(1.0 if shares else densities.check(density), rounds):
        ask = _ask(net, weights, masks, rounds > 1, (data, loss, seed))
        scores = _masked(SCORES[score](ask), masks)
        masks = _chosen(scores, shares or share, among, score == "wanda", masks)
    for text in masks.notes:
        warnings.warn(text, KeptOne if text.endswith(BEST) else UserWarning, stacklevel=2)
    masks.notes += left_out(net)
    return masks


def _shares(density: Any, weights: Mapping[str, Any]) -> dict[str, float]:
    """Return the share of each layer if they were named, else nothing."""
    if not isinstance(density, Mapping):
        densities.check(density)
        return {}
    named = {layer_of(name): name for name in weights}
    for layer in density:
        if layer not in named and layer not in weights:
            raise unknown("layer with a density", layer, named)
    found = {named.get(layer, layer): share for layer, share in density.items()}
    return {n: densities.check(found.get(n, 1.0), f"the density of {n}") for n in weights}


def _scope(scope: str | None, score: str, shares: Mapping[str, float]) -> str:
    usual = "layer" if score == "wanda" or shares else "global"
    scope = usual if scope is None else check("scope", scope, SCOPES)
    if score == "wanda" and scope == "global":
        raise ValueError(
            "wanda compares the weights of one output with each other, and has no order for those "
            "of different layers: scope='layer' or 'erk'"
        )
    if shares and scope != "layer":
        raise ValueError(f"a density for each layer leaves nothing to scope={scope!r}: leave it")
    return scope


def _count(rounds: Any) -> int:
    if isinstance(rounds, bool) or not isinstance(rounds, int) or rounds < 1:
        raise ValueError(f"rounds is a whole number of at least 1, got {rounds!r}")
    return rounds


def _within(net: nn.Module, within: Any, weights: Mapping[str, nn.Parameter]) -> Masks:
    parameters(net, within)
    kept = all_kept(weights)
    kept.update({n: within[n].to(w.device) for n, w in weights.items() if n in within})
    return kept


def _ask(net: nn.Module, weights: Any, masks: Masks, again: bool, rest: tuple) -> Asked:
    """Return what is asked; in rounds, of a copy that has been pruned so far."""
    if again:
        net = copy.deepcopy(net)
        weights = {name: net.get_parameter(name) for name in weights}
        zero(weights, masks)
    return Asked(net, weights, *rest)


@torch.no_grad()
def _masked(scores: Scores, masks: Masks) -> Scores:
    """Return scores in which what is out already comes last."""
    for name, score in scores.items():
        refuse_broken(f"the score of {name}", score, "values")
    return {n: score.masked_fill(~masks[n], -torch.inf) for n, score in scores.items()}


def _chosen(scores: Scores, share: Any, scope: str, rows: bool, masks: Masks) -> Masks:
    shapes = {name: tuple(score.shape) for name, score in scores.items()}
    notes: list[str] = []
    if scope == "global":
        count = densities.whole(share, masks.of)
        wide = {name: score.double() for name, score in scores.items()}
        kept, saved = choose.globally(wide, count)
        notes += [_say(layer_of(name), share) for name in saved]
    else:
        counts = _counts(share, scope, shapes)
        kept = (choose.by_row if rows else choose.by_layer)(scores, counts)
    short = sum(int((k & ~masks[n]).sum()) for n, k in kept.items())
    if short:
        notes.append(f"{short:,} fewer than asked for: `within` had left them out already")
    return Masks({name: mask & masks[name] for name, mask in kept.items()}, notes)


def _counts(share: Any, scope: str, shapes: dict[str, tuple[int, ...]]) -> dict[str, int]:
    if isinstance(share, Mapping):
        return {n: densities.uniform({n: s}, share[n])[n] for n, s in shapes.items()}
    if scope == "erk":
        return densities.counts(densities.erk(shapes, share), shapes)
    return densities.uniform(shapes, share)


def _say(layer: str, share: float) -> str:
    return f"{layer or 'the net'} would be left without a weight at {share:.3g}: {BEST}"
