"""Rows may only mix what was sent."""


def test_rows_may_only_mix_what_was_sent():
    from dataclasses import dataclass

    from parallel import Strategy, verify
    from parallel.world.ops import Push, Round

    @dataclass
    class Thief(Strategy):
        def plan(self, seed, step):
            return Round(after=(Push(0, 1),) if self.workers > 1 else ())

        def rows(self, ops):
            return {0: {0: 0.5, 1: 0.5}}

    found = verify(Thief())
    assert not found.ok
    assert "0 mixes in 1, but the plan has no message from 1 to 0" in repr(found)
    assert "identities hold" in repr(found)
    assert verify("local_sgd").ok
