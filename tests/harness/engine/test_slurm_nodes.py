"""A study on two real Slurm nodes of which one is taken away: the record is the local one."""

import json
import signal
import time

import pytest

from tests.harness.engine import slurm_nodes, study

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not slurm_nodes.HERE, reason="needs root, slurm-wlm and munge"),
]
ENGINE = ("--engine", "slurm", "--jobs", "2")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with study.running(slurm_nodes.Nodes(tmp_path_factory.mktemp("slurm"))) as found:
        yield found


def ends(results):
    """Return how often each training was told to have ended."""
    lines = "".join(p.read_text() for p in results.rglob("*.events")).splitlines()
    told = [json.loads(line) for line in lines if line.startswith('["end"')]
    return sorted((arm, tuple(seeds)) for _, arm, seeds, _ in told)


MOMENTS = {
    "before the first row": lambda results: bool(list(results.rglob("config.json"))),
    "in the middle": lambda results: study.groups_done(results) >= 3,
    "in the last epochs": lambda results: study.groups_done(results) >= study.GROUPS - 1,
}


@pytest.mark.parametrize(
    "moment", [pytest.param(m, marks=() if "middle" in m else study.LONG) for m in MOMENTS]
)
def test_a_node_that_dies_changes_nothing(cluster, expected, tmp_path, moment):
    results = tmp_path / "results"
    with study.start(results, *ENGINE, env=cluster.env) as process:
        study.wait_for(lambda: MOMENTS[moment](results) and cluster.of("n2"), process, results)
        cluster.kill("n2")
        time.sleep(1)
        cluster.revive("n2")
        assert process.wait(400) == 0, study.words(results)
    assert study.exact(results) == expected
    assert len(set(ends(results))) == len(ends(results)) == study.GROUPS
    assert not study.members_left(results)


def middle(results):
    return study.groups_done(results) >= 2


def test_a_driver_that_dies_is_followed_by_the_same_command(cluster, expected, tmp_path):
    results = tmp_path / "results"
    with study.start(results, *ENGINE, env=cluster.env) as process:
        study.wait_for(lambda: middle(results), process, results)
        process.kill()
    assert cluster.ask("squeue", "-h", "-o", "%T")  # the array goes on
    with study.start(results, *ENGINE, env=cluster.env) as process:
        assert process.wait(200) == 0, study.words(results)
    assert study.exact(results) == expected
    assert len(set(ends(results))) == len(ends(results)) == study.GROUPS
    assert len(list(results.rglob("*-0.events"))) == 1  # one array, not two


def test_ctrl_c_ends_the_array_and_the_same_command_goes_on(cluster, expected, tmp_path):
    results = tmp_path / "results"
    with study.start(results, *ENGINE, env=cluster.env) as process:
        study.wait_for(lambda: middle(results), process, results)
        process.send_signal(signal.SIGINT)
        assert process.wait(90) == 130, study.words(results)
    assert not cluster.ask("squeue", "-h", "-o", "%T")
    assert not study.members_left(results)
    assert "Traceback" not in study.words(results)
    with study.start(results, *ENGINE, env=cluster.env) as process:
        assert process.wait(200) == 0, study.words(results)
    assert study.exact(results) == expected


@study.LONG
def test_a_detached_study_goes_on_alone_and_is_found_again(cluster, expected, tmp_path):
    results = tmp_path / "results"
    with study.start(results, *ENGINE, "--detach", env=cluster.env) as process:
        assert process.wait(60) == 0, study.words(results)
    assert "the same command looks in on it" in study.words(results)
    assert cluster.ask("squeue", "-h", "-o", "%T")
    with study.start(results, *ENGINE, env=cluster.env) as process:
        assert process.wait(200) == 0, study.words(results)
    assert study.exact(results) == expected
    assert len(list(results.rglob("*-0.events"))) == 1


def test_a_lock_that_holds_for_one_machine_only_ends_the_study(cluster, tmp_path):
    """As on NFS with local_lock: every member gets every lock."""
    (tmp_path / "sitecustomize.py").write_text(
        "import fcntl, os\nif os.environ.get('IDDL_MEMBER'): fcntl.flock = lambda *words: None\n"
    )
    results = tmp_path / "results"
    env = {**cluster.env, "PYTHONPATH": str(tmp_path)}
    with study.start(results, *ENGINE, env=env) as process:
        assert process.wait(90) == 2, study.words(results)
    said = study.words(results)
    assert "while the driver holds it, so two machines would train one run: mount" in said
    assert not cluster.ask("squeue", "-h", "-o", "%T")
    assert not study.rows(results)


def test_what_slurm_refuses_is_told(cluster, tmp_path):
    results = tmp_path / "results"
    with study.start(results, *ENGINE, "--partition", "gpus", env=cluster.env) as process:
        assert process.wait(60) == 2, study.words(results)
    assert "invalid partition specified: gpus" in study.words(results)
