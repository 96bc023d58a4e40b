"""What a member looks at before it trains: the program, and whether locks hold."""

import contextlib
import fcntl
import json
import threading

import pytest

from harness.engine import guest


def test_the_same_program_may_train():
    guest.enter(guest.driver("slurm"))
    guest.enter({})


@pytest.mark.parametrize("key", ["iddl", "commit", "torch"])
def test_another_program_may_not_and_both_are_said(key):
    theirs = {**guest.program(), key: "another"}
    with pytest.raises(guest.Refused) as told:
        guest.enter({"IDDL_DRIVER": json.dumps(theirs)})
    assert f"{key} {guest.program()[key]} (the driver: another)" in str(told.value)
    assert not told.value.everywhere


def test_a_lock_that_holds_lets_members_in(tmp_path):
    path = tmp_path / "desk" / "driver.lock"
    with guest.held(path):
        guest.enter({"IDDL_LOCK": str(path)})
    assert not path.with_suffix(".beat").exists()


def test_a_lock_that_does_not_hold_ends_the_study(tmp_path, monkeypatch):
    path = tmp_path / "driver.lock"
    with guest.held(path):
        monkeypatch.setattr(fcntl, "flock", lambda *words: None)
        with pytest.raises(guest.Refused, match="two machines would train one run: mount") as told:
            guest.enter({"IDDL_LOCK": str(path)})
    assert told.value.everywhere


def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch):
    path = tmp_path / "driver.lock"
    path.touch()

    def none(*words):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with pytest.raises(guest.Refused, match="cannot be locked here"):
        guest.enter({"IDDL_LOCK": str(path)})


def test_a_driver_that_was_killed_is_no_reason(tmp_path, monkeypatch):
    """Its lock is free and its last beat lies there, but does not go on."""
    monkeypatch.setattr(guest, "PATIENCE", 0.3)
    path = tmp_path / "driver.lock"
    path.touch()
    path.with_suffix(".beat").write_text("17")
    guest.enter({"IDDL_LOCK": str(path)})


def test_a_driver_that_has_ended_in_order_is_no_reason(tmp_path):
    """As with --detach, where members that Slurm starts again find their driver gone."""
    path = tmp_path / "desk" / "driver.lock"
    with guest.held(path):
        pass
    guest.enter({"IDDL_LOCK": str(path)})


def test_a_folder_without_the_lock_is_not_the_one_of_the_driver(tmp_path, monkeypatch):
    """As where the machine lacks the folder of the command, and Slurm goes to /tmp instead."""
    monkeypatch.setattr(guest, "PATIENCE", 0.3)
    monkeypatch.chdir(tmp_path)
    words = (
        f"{tmp_path}/desk/driver.lock is not on .*, so the results folder is not shared.*: mount"
    )
    with pytest.raises(guest.Unlocked, match=words) as told:
        guest.enter({"IDDL_LOCK": "desk/driver.lock"})
    assert told.value.everywhere
    assert not list(tmp_path.iterdir())


def test_a_lock_that_a_shared_folder_shows_late_lets_members_in(tmp_path):
    path = tmp_path / "driver.lock"
    late = threading.Timer(0.3, path.touch)
    late.start()
    guest.enter({"IDDL_LOCK": str(path)})
    late.join(10)


def test_two_drivers_do_not_hold_one_lock(tmp_path):
    path = tmp_path / "driver.lock"
    with (
        guest.held(path),
        pytest.raises(ValueError, match="wait for it, or end it"),
        contextlib.ExitStack() as second,
    ):
        second.enter_context(guest.held(path))
