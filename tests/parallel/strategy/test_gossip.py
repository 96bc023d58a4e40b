"""Whom gossip picks."""

from parallel.strategy import make


def test_near_peers_are_picked_more_often():
    near, even = (make("gossip_pull", penalty=p) for p in (3.0, None))
    counts = []
    for strategy in (near, even):
        strategy.init(4)
        picked = [strategy.picks(7, k)[0] for k in range(1, 2001)]
        counts.append(max(picked.count(i) for i in range(4)))
    assert counts[0] > 1.3 * counts[1]
    assert counts[1] < 2000 * 0.37
