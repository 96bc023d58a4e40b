"""Members as tasks of a Ray cluster, whose machines need share no folder.

    here: claim the group          -- files it goes on from -->  there: the same command once more,
          write what comes back  <-- events, files that change --       in a folder of its own

This process is the only one that claims and the only one that writes results. A task that is lost
with its machine has left its newest checkpoint here, from which the crew starts it again. What one
machine refuses, as it has another version, is sent to the others.
"""

import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from importlib import import_module
from typing import Any, NamedTuple

from harness.engine import guest, parcel
from harness.engine.protocol import Ear, Elsewhere, Group, Hear, Members, last_words, say_once
from harness.engine.ray_cluster import connect
from harness.experiment import DONE, Run
from harness.record import store

NODE = "node"  # what comes first of all: the machine that has the task
LABEL = "ray.io/node-id"  # that Ray gives each machine


class Ray(Elsewhere):
    """The machines of a Ray cluster; `--jobs` says how many groups are sent out at a time."""

    def share(self, jobs: int, threads: int | None, groups: int) -> tuple[int, int]:
        """Return as many as were asked for, or one for each training: Ray lets them wait."""
        return min(jobs or groups, groups), threads or 1

    def __call__(self, members: Members, hear: Hear) -> int:
        """Send the groups out, write what comes back, and wait for all of them."""
        ray = connect(members.place.ray_address, members.place.ray_open)
        try:
            return _Post(ray, members, hear).run()
        finally:
            ray.shutdown()


def work(argv: Sequence[str], env: Mapping[str, str], files: parcel.Files) -> Iterator[tuple]:
    """Train a group there; yields which machine it is, then what a parcel yields."""
    ray: Any = import_module("ray")
    yield NODE, ray.get_runtime_context().get_node_id().encode()
    yield from parcel.work(argv, env, files)


class _Back(NamedTuple):
    """How a task has ended, where, and whether its member would not train there."""

    code: int
    node: str
    refused: bool


class _Post:
    """Sends groups out and takes in what comes back, a thread for each that is on its way."""

    def __init__(self, ray: Any, members: Members, hear: Hear):
        self.ray, self.members, self.hear = ray, members, hear
        self.lock, self.logs = threading.Lock(), list[str]()
        self.tasks: list[Any] = []
        self.over = False
        self.apart: set[str] = set()  # machines that have refused a group
        self.env = {**members.env, **guest.driver("ray")}
        self.wants = {"CPU": members.needs.cores, "GPU": members.needs.gpus}
        self.wants["memory"] = int((members.needs.memory_gb or 0) * 2**30)

    def _remote(self) -> Any:
        """Return the function that trains on a machine that may have it."""
        words: dict[str, Any] = {"memory": self.wants["memory"]} if self.wants["memory"] else {}
        if self.apart:
            words["label_selector"] = {LABEL: f"!in({','.join(sorted(self.apart))})"}
        return self.ray.remote(work).options(
            num_returns="streaming",
            max_retries=0,  # (it would begin from nothing)
            num_cpus=self.wants["CPU"],
            num_gpus=self.wants["GPU"],
            **words,
        )

    def _machines(self) -> list[dict[str, float]]:
        """Return what each machine has that may have a group."""
        here = (node for node in self.ray.nodes() if node["Alive"])
        return [node["Resources"] for node in here if node["NodeID"] not in self.apart]

    def _say_if_none_is_large_enough(self) -> None:
        """Ray waits in silence for such a machine, which an autoscaler may add."""
        found, wants = self._machines(), {k: n for k, n in self.wants.items() if n}
        if any(all(has.get(k, 0) >= n for k, n in wants.items()) for has in found):
            return
        most = max(found, key=lambda has: has.get("CPU", 0), default={})
        print(
            f"a group needs {_listed(wants)}; the largest machine of the Ray cluster has "
            f"{_listed({k: most.get(k, 0) for k in wants})}: waiting for another to join",
            file=sys.stderr,
        )

    def run(self) -> int:
        self._say_if_none_is_large_enough()
        with ThreadPoolExecutor(max(1, self.members.size)) as pool:
            sent = [pool.submit(self._group, group) for group in self.members.groups]
            try:
                return max(future.result() for future in sent)
            except BaseException:
                self._cancel()
                raise
            finally:
                say_once(self.logs)

    def _cancel(self) -> None:
        self.over = True
        for task in self.tasks:
            self.ray.cancel(task)

    def _group(self, group: Group) -> int:
        """Hold the group while it is away; returns how its command ended."""
        study, (arm, seeds) = self.members.study, group
        assert study
        with ExitStack() as holds:
            mine = [
                seed
                for seed in seeds
                if holds.enter_context(store.claim(study.seed_dir(arm, seed)))
                and not _done(store.load_run(study.seed_dir(arm, seed)))
            ]
            if not mine or self.over:
                return 0
            return self._send(arm, mine)

    def _send(self, arm: str, seeds: Sequence[int]) -> int:
        """Send it to one machine after the other until one does not refuse it."""
        while (back := self._sent(arm, seeds)).refused and back.node:
            self.apart.add(back.node)
            if self.over or not self._machines():
                return 1
        return back.code

    def _sent(self, arm: str, seeds: Sequence[int]) -> _Back:
        members, ear = self.members, Ear(self.hear, self.lock, (arm, tuple(seeds)))
        assert members.study
        argv = [*members.argv[1:], "--arms", arm, "--seeds", f"{','.join(map(str, seeds))},"]
        files = parcel.pack(members.study, arm, members.starts(arm, seeds))
        code, log, node = -1, "", ""
        try:
            task = self._remote().remote(argv, self.env, files)
            self.tasks.append(task)
            for reference in task:
                name, content = self.ray.get(reference)
                if name == parcel.EVENT:
                    ear.line(content.decode())
                elif name == NODE:
                    node = content.decode()
                elif name == parcel.ENDED:
                    first, log = content.decode().split("\n", 1)
                    code = int(first)
                else:
                    parcel.unpack(members.study, arm, name, content)
        except self.ray.exceptions.RayTaskError as error:  # (such as a machine without the package)
            log = last_words(str(error))
        except self.ray.exceptions.RayError as error:
            log = f"{type(error).__name__}: its machine was lost"
        self.logs.append(log)
        ear.closed(last_words(log), died=code < 0)
        if ear.trouble:
            raise ear.trouble
        return _Back(code if code >= 0 else 1, node, ear.refused)


def _listed(has: Mapping[str, float]) -> str:
    """Say what a group needs, or what a machine has of it."""
    each = [
        f"{n / 2**30:g} GB of memory" if k == "memory" else f"{n:g} {k}" for k, n in has.items()
    ]
    return ", ".join(each)


def _done(run: Run | None) -> bool:
    """Return whether another process has done this run meanwhile."""
    return run is not None and run.status == DONE
