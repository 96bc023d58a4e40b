"""What a dead member had in hand is started again, as long as that leads further."""

from dataclasses import replace

import pytest

from examples.wine.experiments import PLANS
from harness.engine.protocol import Place
from harness.record import store
from harness.record.study import Study
from harness.sweep.crew import STARTS, Crew
from harness.sweep.show import Bars, Lines
from tests.harness.engine.test_engine import Told

GROUPS = [("scaled", (0,)), ("raw", (0,))]
ROW = {"epoch": 1, "worst_recall": 0.5}


class Tells:
    """An engine whose members say what they are told to, a list of events for each round."""

    def __init__(self, *rounds, status=1):
        self.rounds, self.groups, self.sizes, self.status = list(rounds), [], [], status

    def __call__(self, members, hear):
        self.groups.append(list(members.groups))
        self.sizes.append(members.size)
        for event in self.rounds.pop(0):
            hear(list(event))
        return self.status


def crew(tmp_path, engine, show=None, *more, **plan):
    study = Study("examples.wine", "smoke", replace(PLANS["smoke"], **plan), tmp_path)
    return Crew(study, GROUPS, 2, 1, show or Told(), lambda runs: None, engine, Place(), *more)


def begin(arm, done=0):
    return "begin", arm, [0], 3, done


def row(arm, epoch):
    return "rows", arm, [0], [ROW | {"epoch": epoch}]


def lost(arm, words="Killed", died=True):
    return "lost", arm, [0], words, died


def end(arm):
    return "end", arm, [0], ""


def test_who_trains_on_a_card_asks_for_one_if_the_plan_does_not_say():
    assert crew("", Tells()).needs.gpus == 0
    assert crew("", Tells(), None, 1).needs.gpus == 1
    assert crew("", Tells(), None, 1, gpus=4).needs.gpus == 4


def test_only_what_was_lost_is_started_again(tmp_path, capsys):
    first = [begin("scaled"), begin("raw"), row("raw", 1), lost("raw"), end("scaled")]
    engine = Tells(first, [begin("raw", 1), row("raw", 2), end("raw")])
    assert crew(tmp_path, engine).run(["command"]) == 1
    assert engine.groups == [GROUPS, [("raw", (0,))]]
    assert engine.sizes == [2, 1]
    assert "raw seeds 0: starting it again" in capsys.readouterr().err


def test_a_group_that_never_comes_further_fails_with_the_last_words(tmp_path):
    rounds = [[begin("raw"), lost("raw", f"out of memory {k}")] for k in range(STARTS)]
    engine = Tells(*rounds)
    crew(tmp_path, engine).run(["command"])
    assert not engine.rounds
    (path,) = tmp_path.rglob("run.json")
    run = store.load_run(path.parent)
    assert (run.arm, run.status) == ("raw", "failed")
    assert run.error == ("started 3 times without a new epoch; the last time: out of memory 2")


def test_a_group_that_was_lost_before_it_began_is_started_again_as_often(tmp_path):
    engine = Tells(*[[lost("raw", "its machine was lost")]] * STARTS)
    crew(tmp_path, engine).run(["command"])
    assert not engine.rounds
    (path,) = tmp_path.rglob("run.json")
    assert store.load_run(path.parent).status == "failed"


DIED = ("died", "Killed")


def test_what_nobody_had_begun_when_members_died_is_started_too(tmp_path, capsys):
    """All in start-up; then one between two groups."""
    first, second = [DIED, DIED], [begin("raw"), row("raw", 1), end("raw"), DIED]
    engine = Tells(first, second, [begin("scaled"), row("scaled", 1), end("scaled")])
    crew(tmp_path, engine).run(["command"])
    assert engine.groups == [GROUPS, GROUPS, [("scaled", (0,))]]
    said = capsys.readouterr().err
    assert said.count("a member died with no training in hand: Killed\n") == 2
    assert said.count("scaled seeds 0: starting it again") == 2


def test_members_that_always_die_before_they_begin_fail_what_is_left(tmp_path, capsys):
    engine = Tells(*[[DIED, DIED]] * STARTS)
    crew(tmp_path, engine).run(["command"])
    assert not engine.rounds
    runs = [store.load_run(path.parent) for path in tmp_path.rglob("run.json")]
    assert sorted((run.arm, run.status) for run in runs) == [
        ("raw", "failed"),
        ("scaled", "failed"),
    ]
    words = "started 3 times without a new epoch; the last time: Killed"
    assert {run.error for run in runs} == {words}
    assert capsys.readouterr().err.count("starting it again") == 2 * (STARTS - 1)


def test_deaths_between_groups_are_no_starts_of_those_that_wait(tmp_path):
    """As of members that grow until they are killed, a group further each time."""
    further = [[begin("raw", k), row("raw", k + 1), lost("raw"), DIED] for k in range(STARTS + 1)]
    engine = Tells(*further, [begin("raw"), end("raw"), begin("scaled"), end("scaled")])
    crew(tmp_path, engine).run(["command"])
    assert not engine.rounds
    assert not list(tmp_path.rglob("run.json"))


def test_nothing_is_started_again_where_a_member_has_said_why(tmp_path):
    told = Tells([DIED, begin("raw"), lost("raw", "no such file: x", died=False)])
    assert crew(tmp_path, told).run(["command"]) == 1
    no_arm = Tells([DIED], status=2)
    assert crew(tmp_path, no_arm).run(["command"]) == 2


def test_what_others_hold_is_left_to_them_when_members_die(tmp_path):
    mine = crew(tmp_path, Tells([DIED, begin("scaled"), end("scaled")]))
    with store.claim(mine.study.seed_dir("raw", 0)):
        mine.run(["command"])


def test_starts_count_from_the_last_new_epoch(tmp_path):
    """The same epoch told again, from the last checkpoint, is none."""
    again = [begin("raw"), row("raw", 1), lost("raw")]
    further = [begin("raw"), row("raw", 1), row("raw", 2), lost("raw")]
    engine = Tells(again, again, again, further, again, again, again)
    crew(tmp_path, engine).run(["command"])
    assert not engine.rounds
    assert len(list(tmp_path.rglob("run.json"))) == 1


@pytest.mark.parametrize("show", [Told(), Lines(2), Bars(2)])
def test_what_members_gave_up_themselves_is_not_started_again(tmp_path, show):
    """Two meet the same missing file, one after the other, over the same group."""
    tells = [begin("raw"), begin("raw"), lost("raw", died=False), lost("raw", died=False)]
    assert crew(tmp_path, Tells(tells), show).run(["command"]) == 1
    show.close()


def test_a_group_that_another_process_has_is_left_to_it(tmp_path):
    engine = Tells([begin("raw"), lost("raw")])
    mine = crew(tmp_path, engine)
    with store.claim(mine.study.seed_dir("raw", 0)):
        assert mine.run(["command"]) == 1
    assert not engine.rounds


def test_a_member_that_must_not_train_is_told_and_the_others_go_on(tmp_path, capsys):
    twice = [("refused", "m2 has torch 2.6.0", False)] * 2
    engine = Tells([*twice, begin("raw"), end("raw")])
    crew(tmp_path, engine).run(["command"])
    assert capsys.readouterr().err.count("m2 has torch 2.6.0") == 1


def test_nobody_trains_where_locks_do_not_hold(tmp_path):
    engine = Tells([("refused", "m2 got the lock", True)])
    with pytest.raises(ValueError, match="m2 got the lock"):
        crew(tmp_path, engine).run(["command"])


def test_lines_say_what_was_lost(tmp_path, capsys):
    engine = Tells([begin("raw"), lost("raw", "Killed")], [begin("raw"), row("raw", 1), end("raw")])
    crew(tmp_path, engine, Lines(2, "worst_recall")).run(["command"])
    first, _, then = capsys.readouterr().err.splitlines()
    assert first == "[1/2] raw seeds 0 was lost: Killed"
    assert then.startswith("[1/2] raw seeds 0 done in ")
    assert then.endswith("worst recall 0.5000")
