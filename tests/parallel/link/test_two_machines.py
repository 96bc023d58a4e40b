"""Two ranks that share nothing but a cable, and what becomes of them as it fails."""

import os
import signal
import time

import pytest

from parallel.identities import averaging as identities
from parallel.link.net import Net, spaces, why_not
from parallel.strategy import make
from tests.parallel.link.hosts import Ranks

# (as root on Linux these fail rather than skip: a machine without `ip` is said)
root = hasattr(os, "geteuid") and os.geteuid() == 0
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not root or "Linux's" in why_not(), reason=f"two machines: {why_not()}"),
]
TIMEOUT = 6
STEPS = 200  # more than are done before a cable is cut


def loss(ranks):
    (line,) = [x for x in ranks.text(0).splitlines() if x.startswith("loss")]
    return float.fromhex(line.split()[1]), line.split()[2]


@pytest.fixture
def net():
    with Net(2) as made:
        yield made
    assert not [s for s in spaces() if s.startswith(made.prefix)]


@pytest.mark.parametrize("six", [False, True], ids=["IPv4", "IPv6"])
def test_ranks_find_the_interface_and_train_as_the_simulation_does(tmp_path, six):
    """Where each host's own name is 127.0.1.1, and no variable is set."""
    with Net(2, six=six) as net:
        ranks = Ranks(net, tmp_path, "local_sgd", options=dict(period=3))
        assert ranks.end(120) == [0, 0], ranks.text(0) + ranks.text(1)
    found, name = loss(ranks)
    simulated = identities.trained(make("local_sgd", period=3), workers=2, steps=12)
    assert found == pytest.approx(simulated.test()[0], abs=1e-12)
    assert name == "eth0"


def test_a_wrong_interface_is_said_with_its_variable(net, tmp_path):
    ranks = Ranks(net, tmp_path, timeout=TIMEOUT, env=dict(GLOO_SOCKET_IFNAME="lo"))
    assert 0 not in ranks.end(120)
    told = "GLOO_SOCKET_IFNAME is lo, and 10.77.0.1 is reached by eth0"
    assert all(told in ranks.text(rank) for rank in (0, 1)), ranks.text(0)


@pytest.mark.parametrize("how", ["script", "host", "cable"])
def test_all_that_are_left_end_soon_and_name_who_is_gone(net, tmp_path, how):
    ranks = Ranks(net, tmp_path, steps=10**6, timeout=TIMEOUT)
    ranks.reach(20)
    begin = time.monotonic()
    if how == "script":
        os.killpg(ranks.processes[1].pid, signal.SIGKILL)
    elif how == "host":
        net.kill(1)
    else:
        net.cut(1)
    codes = ranks.end(TIMEOUT + 10 - (time.monotonic() - begin))
    assert codes[0] == 1
    assert "rank 1 did not answer" in ranks.text(0)
    if how == "cable":
        assert codes[1] == 1
        assert "rank 0 did not answer" in ranks.text(1)


def test_a_cable_that_is_out_for_a_moment_changes_no_bit(net, tmp_path):
    words = dict(steps=STEPS, timeout=30, slow=1, pause=0.02)
    (whole := tmp_path / "whole").mkdir()
    (cut := tmp_path / "cut").mkdir()
    ranks = Ranks(net, whole, **words)
    assert ranks.end(120) == [0, 0], ranks.text(0)
    expected = loss(ranks)
    ranks = Ranks(net, cut, **words)
    ranks.reach(20)
    net.cut(1)
    time.sleep(3)
    net.mend(1)
    assert ranks.end(120) == [0, 0], ranks.text(0) + ranks.text(1)
    assert loss(ranks) == expected


def test_a_machine_ten_times_slower_is_waited_for(net, tmp_path):
    found = []
    for pause in (0.0, 0.1):
        (folder := tmp_path / str(pause)).mkdir()
        ranks = Ranks(net, folder, slow=1, pause=pause, timeout=TIMEOUT)
        assert ranks.end(120) == [0, 0], ranks.text(0)
        found.append(loss(ranks))
    assert found[0] == found[1]
