"""How processes begin: from a script, and with what is loaded already."""

import importlib
import os
import subprocess
import sys
import textwrap

import pytest

from parallel import verify
from parallel.training.loop import rows
from parallel.world.procs import PRELOADED, preloaded, story
from tests.tree import ROOT


def script(folder, text):
    """What a script says that stands in a folder of its own."""
    (folder / "script.py").write_text(textwrap.dedent(text))
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    argv = [sys.executable, "script.py"]
    return subprocess.run(argv, capture_output=True, text=True, timeout=150, cwd=folder, env=env)


TRAINS = """
    from parallel import World, train
    from parallel.identities.averaging import net, task
    list(train(net, task(), world=World.procs(2, timeout=20), steps=2, batch_size=8))
    """
VERIFIES = """
    import parallel
    print(parallel.verify("local_sgd", "procs"))
    """


UNDER = """
    from torch import nn
    from parallel import World, train
    from parallel.identities.averaging import task
    if __name__ == "__main__":
        class Mine(nn.Linear):
            pass
        net = nn.Sequential(Mine(4, 3)).double()
        list(train(net, task(), world=World.procs(2, timeout=20), steps=2, batch_size=8))
    """


def test_a_class_that_a_process_does_not_see_is_named_with_where_to_define_it(tmp_path):
    done = script(tmp_path, UNDER)
    said = done.stderr.partition("WorkerError: ")[2]
    assert said.startswith("2 of 2 processes failed:\n  ranks 0, 1: ValueError: World.procs: "), (
        done
    )
    assert "Can't get attribute 'Mine'" in said
    assert "define classes and functions above that line, or in a module" in said
    assert "spawn_main" not in done.stderr  # (the processes' own tracebacks)


@pytest.mark.parametrize(
    "text",
    [pytest.param(TRAINS, id="train", marks=pytest.mark.slow), pytest.param(VERIFIES, id="verify")],
)
def test_a_script_without_a_main_guard_is_told_so(text, tmp_path):
    done = script(tmp_path, text)
    assert done.returncode == 1
    assert not done.stdout  # no table of identities, as if one had failed
    assert "World.procs: put the call under `if __name__ == '__main__':`" in done.stderr
    assert done.stderr.count("Traceback") == 1  # that of the script itself, none of its processes
    assert "bootstrapping" not in done.stderr


def test_the_world_of_identities_is_one_of_two():
    with pytest.raises(ValueError, match="unknown world 'proc': did you mean 'procs'"):
        verify("local_sgd", "proc")


def test_the_module_of_the_task_is_loaded_before_the_first_process(tmp_path):
    (tmp_path / "work.py").write_text(
        "import os\nLOADED = os.getpid()\n\n\ndef task(comm):\n"
        "    yield [LOADED, os.getpid(), os.getppid()]\n"
    )
    done = script(
        tmp_path,
        """
        from parallel import World
        from parallel.world.run import run
        from work import task
        if __name__ == "__main__":
            ((loaded, own, server),) = run(World.procs(2, timeout=60), task)
            print("by the fork server", loaded == server != own)
        """,
    )
    assert "by the fork server True" in done.stdout, done.stderr


def test_what_is_preloaded_exists_and_the_script_itself_is_not():
    for name in preloaded(rows):
        assert importlib.import_module(name)
    assert preloaded(rows) == [*PRELOADED, "parallel.training.loop"]
    alone = lambda comm: iter(())  # noqa: E731
    alone.__module__ = "__main__"
    assert preloaded(alone) == list(PRELOADED)


@pytest.mark.parametrize(
    ("failed", "told"),
    [
        (
            {2: ("PeerLost", "rank 2: 0 is gone"), 0: ("KeyError", "KeyError: 1")},
            ["rank 0: KeyError: 1", "rank 2: 0 is gone"],
        ),
        (
            {1: ("OSError", "OSError: full"), 0: ("OSError", "OSError: full")},
            ["ranks 0, 1: OSError: full"],
        ),
    ],
)
def test_causes_are_told_before_those_who_lost_touch(failed, told):
    assert story(failed, 3).split("\n  ") == ["2 of 3 processes failed:", *told]
