"""Members as tasks of a Ray cluster, whose machines need share no folder.

    here: claim the group          -- files it goes on from -->  there: the same command once more,
          write what comes back  <-- events, files that change --       in a folder of its own

This process is the only one that claims and the only one that writes results. A task that is lost
with its machine has left its newest checkpoint here, from which the crew starts it again.
"""

import logging
import os
import socket
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from harness.engine import guest, parcel
from harness.engine.protocol import Ear, Elsewhere, Group, Hear, Members, last_words, say_once
from harness.experiment import DONE, Run
from harness.record import store
from harness.record.provenance import version_of

BEGIN = "start one by ray start --head, or name one by --ray-address HOST:PORT"
TOKENS = (2, 61)  # from this version on clusters have a token unless somebody forbids it


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


def connect(address: str | None, is_open: bool) -> Any:
    """Join the cluster; returns the module.

    Raises:
        ValueError: no Ray here, or a cluster without a token.
        OSError: no cluster there.
    """
    if not find_spec("ray"):
        raise ValueError("--engine ray: ray is not installed; type: pip install 'iddl[ray]'")
    if not is_open and not _has_token():
        raise ValueError(
            "this Ray has no token, so whoever reaches the cluster can run programs as you: set "
            "RAY_AUTH_MODE=token on all machines (ray get-auth-token --generate makes a token), or "
            "type --ray-open if its network is yours alone"
        )
    _knock(address)
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # (its coming default)
    ray: Any = import_module("ray")
    try:
        ray.init(address=address or "auto", log_to_driver=False, logging_level=logging.ERROR)
    except ConnectionError as error:
        reason = str(error).splitlines()[0]
        raise OSError(
            f"no Ray cluster at {address or 'this machine'} ({reason}): {BEGIN}"
        ) from None
    return ray


def _knock(address: str | None) -> None:
    """Fail at once where nobody listens, as Ray itself would try for minutes."""
    address = address or os.environ.get("RAY_ADDRESS")
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if not address or address == "auto":  # (Ray looks on this machine, which is quick)
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except ValueError:
        raise ValueError(f"--ray-address got {address!r}; expected HOST:PORT") from None
    except OSError as error:
        raise OSError(f"no Ray cluster at {address} ({error.strerror or error}): {BEGIN}") from None


def _has_token() -> bool:
    mode = os.environ.get("RAY_AUTH_MODE", "")
    version = tuple(map(int, version_of("ray").split(".")[:2]))
    return mode == "token" or (not mode and version >= TOKENS)


class _Post:
    """Sends groups out and takes in what comes back, a thread for each that is on its way."""

    def __init__(self, ray: Any, members: Members, hear: Hear):
        self.ray, self.members, self.hear = ray, members, hear
        self.lock, self.logs = threading.Lock(), list[str]()
        self.tasks: list[Any] = []
        self.over = False
        needs = members.needs
        memory = {"memory": int(needs.memory_gb * 2**30)} if needs.memory_gb else {}
        self.remote = ray.remote(parcel.work).options(
            num_returns="streaming",
            max_retries=0,  # (it would begin from nothing)
            num_cpus=needs.cores,
            num_gpus=needs.gpus,
            **memory,
        )
        self.env = {**members.env, **guest.driver("ray")}

    def run(self) -> int:
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
            return self._send(arm, mine, Ear(self.hear, self.lock))

    def _send(self, arm: str, seeds: Sequence[int], ear: Ear) -> int:
        members = self.members
        assert members.study
        argv = [*members.argv[1:], "--arms", arm, "--seeds", f"{','.join(map(str, seeds))},"]
        files = parcel.pack(members.study, arm, members.starts(arm, seeds))
        code, log = -1, ""
        try:
            task = self.remote.remote(argv, self.env, files)
            self.tasks.append(task)
            for reference in task:
                name, content = self.ray.get(reference)
                if name == parcel.EVENT:
                    ear.line(content.decode())
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
        return code if code >= 0 else 1


def _done(run: Run | None) -> bool:
    """Return whether another process has done this run meanwhile."""
    return run is not None and run.status == DONE
