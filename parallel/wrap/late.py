"""One stage of a pipeline that does not wait, in a loop in which everything else does.

In the loop all stages have made t updates when minibatch t comes. In the pipeline stage k of N had
made t-d then, d = N-1-k, and t when the gradient came back. So the stage decides d updates ahead of
the loop what a minibatch will see, at the moment when the pipeline would have done it, and queues:

    after update n    the policy is asked for minibatch n+d   ──►  | n+d | ... | n+1 | n |  queue
    forward of n      the head of the queue: decided after update n-d
    backward of n     the policy is asked: n updates are made
    update n          on the true weights, which are in no graph; the head of the queue goes

A graph has leaves of its own (`Stand`), so that gradients reach the true weights' .grad.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.func import functional_call

from parallel.pipeline import spike
from parallel.pipeline.answers import check_weights
from parallel.pipeline.guard import casting, guard
from parallel.pipeline.noise import Noise
from parallel.pipeline.spike import compensate
from parallel.pipeline.swap import Swap
from parallel.pipeline.versions import State, Versions
from parallel.pipeline.weights import Policy, late
from parallel.wrap.stand import Again, Stand


class Late:
    """Layers whose passes see what the policy says.

    Args:
        module: The layers.
        place: Number of the stage, and of how many.
        policy: With which weights it works.
        micro: Micro-batches of a minibatch.
        seed: Of its dropout.
    """

    def __init__(
        self, module: nn.Module, place: tuple[int, int], policy: Policy, micro: int, seed: int
    ):
        self.module, self.policy, self.micro = module, policy, micro
        params = {n: p for n, p in module.named_parameters() if p.requires_grad}
        self.weights = Versions(*place, params, None, policy.kept(*place), "")
        self.late = late(policy, *place)
        self.noise = Noise(seed, place[0])
        self.queue: deque[State] = deque()  # what the micro-batches will see
        self.calls = 0  # of minibatch t before this one, if gradients are accumulated
        self.rate = 1.0  # of the update under way
        self.back: State | None = None  # what backward passes see, once one has asked
        self.untouched: int | None = None  # writes to the weights at the first backward pass
        # under which autocast the guard has looked; True: there is nothing to look at
        self.tried: Any = policy.recompute or not (self.late or any(policy.reach(*place))) or None

    def __call__(self, j: int, x: torch.Tensor) -> torch.Tensor:
        """The output of micro-batch j of the minibatch that comes."""
        if self.tried is not True and torch.is_grad_enabled() and self.tried != casting():
            other = bool(self.policy.swaps and self.late)
            guard(self.module, functional_call, x, f"stage {self.weights.stage}", other)
            self.tried = casting()
        self.decide()
        key = self.weights.number, j + self.micro * self.calls
        seen, params = self.queue[j], self.weights.params
        if self.policy.recompute and self.late:
            return Again.apply(self, key, seen, x, *params.values())  # pyright: ignore
        leaves = {n: Stand.apply(p, seen[n], self) for n, p in params.items()}
        with self.noise(self.module, key):
            if not (self.policy.swaps and self.late):
                return functional_call(self.module, leaves, (x,))
            with Swap(leaves, self.wanted).hooks():  # pyright: ignore
                return functional_call(self.module, leaves, (x,))

    def look(self) -> None:
        """Refuse weights that came or went; take those that somebody has put elsewhere."""
        params = {n: p for n, p in self.module.named_parameters() if p.requires_grad}
        weights = self.weights
        if {n: id(p) for n, p in params.items()} != {n: id(p) for n, p in weights.params.items()}:
            changed = sorted(params.keys() ^ weights.params.keys()) or sorted(params)
            raise ValueError(
                f"{', '.join(changed)} of stage {weights.stage} began or ceased to train while "
                "minibatches are in flight: freeze before the first batch, or call "
                "net.load_state_dict(net.state_dict()), which begins anew"
            )
        if not weights.number and self.untouched not in (None, self._writes()):
            raise ValueError(
                "the weights have changed since the first backward(), and no torch.optim.Optimizer "
                "has made a step: a pipeline counts the steps of one, over net.parameters()"
            )
        if any(p.data_ptr() != weights.newest[n].data_ptr() for n, p in params.items()):
            for p in params.values():
                p.data = p.data.clone()  # (the memory of a version is its own)
            weights.newest = {n: p.data for n, p in params.items()}

    def decide(self) -> None:
        """Choose what micro-batches will see whose forward pass the pipeline does now."""
        weights = self.weights
        while len(self.queue) < self.micro + weights.delay:
            t = weights.number + len(self.queue) // self.micro
            self.queue.append(self.policy.forward(weights, t))

    def wanted(self) -> State:
        """What backward passes see."""
        if torch.is_grad_enabled():
            raise ValueError(
                "create_graph=True: the gradient of a gradient is not defined where the backward "
                "pass sees other weights than the forward pass; take pipedream or spectrain_v2"
            )
        if self.back is None:
            weights = self.weights
            back = self.policy.backward(weights, weights.number)
            self.back = check_weights(self.policy, weights.number, back, weights.params)
        return self.back

    def in_time(self, number: int) -> None:
        """Refuse a backward pass after the step that was to have its gradient."""
        if number != self.weights.number:
            raise ValueError(
                f"backward() of minibatch {number} after {self.weights.number} steps: call "
                "loss.backward() before optimizer.step(), once for each forward pass"
            )
        if self.untouched is None:
            self.untouched = self._writes()

    def _writes(self) -> int:
        """How often the true weights were written to, as torch counts it."""
        return sum(p._version for p in self.weights.params.values())

    def before(self, optimizer: torch.optim.Optimizer) -> None:
        """To be called before the optimizer's step."""
        weights, policy = self.weights, self.policy
        if weights.optimizer is not optimizer:
            if policy.spike:
                spike.able(optimizer)
            if weights.params:
                weights.step_by(optimizer, policy.ahead)
        self.decide()
        later = list(self.queue)[self.micro :]
        self.rate = policy.rate(weights, weights.number)
        held = any(state is weights.newest for state in later)
        weights.before(held or self.rate != 1 or policy.spike)

    def after(self) -> None:
        """To be called after it."""
        if self.weights.optimizer:
            compensate(self.weights, self.policy.spike, self.rate)
        self.weights.after()
        self.policy.applied(self.weights)
        for _ in range(self.micro):
            self.queue.popleft()
        self.calls, self.back = 0, None

    def moved(self, fn: Callable[[torch.Tensor], torch.Tensor]) -> None:
        """Move or cast what is kept, after the true weights."""
        weights, done = self.weights, {}
        old, weights.newest = weights.newest, {n: p.data for n, p in weights.params.items()}
        done[id(old)] = weights.newest

        def change(state: State) -> State:
            if id(state) not in done:
                done[id(state)] = {n: fn(w) for n, w in state.items()}
            return done[id(state)]

        weights.older = deque(map(change, weights.older), weights.older.maxlen)
        weights.extra = {what: change(state) for what, state in weights.extra.items()}
        self.queue, self.back = deque(map(change, self.queue)), None
