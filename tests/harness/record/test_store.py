"""Files: whole or not at all, equal in both forms, and never run."""

import errno
import json
import os
import pickle
import resource
import subprocess
import sys

import numpy as np
import pytest
import torch

from harness.experiment import Experiment, Run
from harness.record import store
from harness.record.checkpoint import load_checkpoint, save_checkpoint


def record() -> Experiment:
    rows = [{"epoch": 1, "test_accuracy": 0.5}, {"epoch": 2, "test_accuracy": 0.75}]
    runs = [
        Run("A", s, "A-0123", {"hidden": [3, 4]}, rows, {"flops": 7}, provenance="p")
        for s in (0, 1)
    ]
    runs.append(Run("B", 0, "B-0123", {}, [], {}, "failed", "the loss became nan"))
    return Experiment("mlp", "smoke", "why?", runs, {"p": {"cpu": "x"}})


def test_pickle_and_json_are_the_same_record(tmp_path):
    store.save(record(), tmp_path)
    from_json = store.load(tmp_path / "experiment.json")
    from_pickle = store.load(tmp_path / "experiment.pkl")
    assert from_json == from_pickle == record()
    assert json.loads((tmp_path / "experiment.json").read_text()) == from_pickle.to_columns()


def test_rows_are_columns_in_files_where_they_share_their_keys(tmp_path):
    whole = record()
    whole.runs[1].rows = [*whole.runs[0].rows, {"epoch": 3, "flat": True}]
    store.save(whole, tmp_path)
    content = json.loads((tmp_path / "experiment.json").read_text())
    assert content["runs"][0]["rows"] == {"epoch": [1, 2], "test_accuracy": [0.5, 0.75]}
    assert content["runs"][1]["rows"][2] == {"epoch": 3, "flat": True}
    assert store.load(tmp_path / "experiment.json") == whole
    before = {**whole.to_dict(), "schema": 1}  # as files were: still read, and then of today
    (tmp_path / "before.json").write_text(json.dumps(before))
    assert store.load(tmp_path / "before.json") == whole
    content["runs"][0]["rows"]["epoch"] = [1]
    (tmp_path / "broken.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"broken\.json, run 0 has columns of different length"):
        store.load(tmp_path / "broken.json")


def test_files_say_once_what_all_runs_of_an_arm_share(tmp_path):
    whole = record()
    whole.runs[1].facts = {"flops": 8}
    store.save(whole, tmp_path)
    content = json.loads((tmp_path / "experiment.json").read_text())
    assert content["shared"]["A-0123"] == {"config": {"hidden": [3, 4]}, "facts": {"flops": 7}}
    first, second, other = content["runs"]
    assert not {"config", "facts"} & (set(first) | set(other))
    assert second["facts"] == {"flops": 8}
    assert "config" not in second
    assert store.load(tmp_path / "experiment.json") == whole
    del content["shared"]
    (tmp_path / "broken.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"broken\.json, run 0 is no Run: .*'config'"):
        store.load(tmp_path / "broken.json")


def test_frame(tmp_path):
    frame = record().to_frame()
    assert list(frame.columns[:3]) == ["arm", "seed", "status"]
    assert len(frame) == 5
    assert frame.groupby("arm").test_accuracy.max().to_dict()["A"] == 0.75
    assert frame.flops.dropna().unique() == [7]


def test_final_leaves_failed_runs_out():
    assert record().final("A", "test_accuracy") == {0: 0.75, 1: 0.75}
    assert record().final("B", "test_accuracy") == {}
    assert record().arms() == ["A", "B"]


def test_an_arm_or_a_metric_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(ValueError, match=r"unknown arm 'C': .*there are A, B"):
        record().final("C", "test_accuracy")
    with pytest.raises(ValueError, match=r"unknown metric 'accuracy': there are epoch, "):
        record().final("A", "accuracy")
    assert record().last("C", "test_accuracy") == record().last("A", "accuracy") == {}


class Bomb:
    """Runs a command when unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("protocol", range(6))
def test_hostile_pickles_are_refused_by_name(tmp_path, protocol):
    target, path = tmp_path / "owned", tmp_path / "evil.p"
    bad = record()
    bad.runs[0].facts = {"x": Bomb(target)}
    for content in (Bomb(target), bad):
        path.write_bytes(pickle.dumps(content, protocol=protocol))
        with pytest.raises(
            ValueError, match=r"evil\.p is not a record.*system, not an allowed name"
        ):
            store.load(path)
    assert not target.exists()


@pytest.mark.parametrize("value", [np.float64(1.0), np.zeros(3)])
def test_a_record_with_foreign_values_is_refused(tmp_path, value):
    bad = record()
    bad.runs[0].facts = {"x": value}
    with pytest.raises(
        TypeError, match=r"record\.runs\[0\]\.facts\.x is of type (float64|ndarray);"
    ):
        store.save(bad, tmp_path)
    path = tmp_path / "bad.p"
    path.write_bytes(pickle.dumps(bad))
    with pytest.raises(ValueError, match="is not a record that can be trusted"):
        store.load(path)


def test_half_written_and_wrong_files(tmp_path):
    store.save(record(), tmp_path)
    for name in ("experiment.json", "experiment.pkl"):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(ValueError, match=name):
            store.load(path)
    (tmp_path / "other.p").write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(ValueError, match="it holds a list, expected an Experiment"):
        store.load(tmp_path / "other.p")
    newer = record().to_dict() | {"schema": 99}
    (tmp_path / "newer.json").write_text(json.dumps(newer))
    with pytest.raises(ValueError, match=r"schema 99 of .* is newer"):
        store.load(tmp_path / "newer.json")
    run = {"arm": "A"}
    for content in ({"a": 1}, [1], None, {"schema": 1, "runs": {}}, {"schema": 1, "runs": []}):
        (tmp_path / "no.json").write_text(json.dumps(content))
        with pytest.raises(ValueError, match=r"no\.json is (not an|no) Experiment"):
            store.load(tmp_path / "no.json")
    for run in ({"arm": "A"}, [], None):
        broken = record().to_dict() | {"runs": [run]}
        (tmp_path / "no.json").write_text(json.dumps(broken))
        with pytest.raises(ValueError, match=r"no\.json, run 0 is no Run"):
            store.load(tmp_path / "no.json")
    later = record().to_dict()
    later["runs"][0]["new_field"] = 1
    (tmp_path / "later.json").write_text(json.dumps(later))
    assert store.load(tmp_path / "later.json") == record()


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_dumps_of_the_original_project_are_read_without_their_code(tmp_path, legacy_dump, protocol):
    path = tmp_path / "mlp_experiments_20200507_152923.p"
    legacy_dump(path, protocol)
    assert "experiment" not in sys.modules
    old = store.load(path)
    assert old.final("B-MLP-3-1", "test_accuracy") == {0: 0.8396}
    assert old.runs[0].rows[2] == {"epoch": 3, "test_accuracy": 0.9486, "test_loss": 0.7}
    assert old.runs[1].facts == {"total_time": 127.0}
    renamed = tmp_path / "numpy1.p"  # numpy 1 pickled its internals under another name
    renamed.write_bytes(path.read_bytes().replace(b"numpy._core", b"numpy.core"))
    if protocol < 4:  # (from protocol 4 on, names carry their length)
        assert store.load(renamed) == old


def test_a_failing_write_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    path = store.write(tmp_path / "a.json", "old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"could not write .*a\.json: No space left.*intact"):
        store.write(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_link_stays_one_and_its_file_is_written(tmp_path):
    (tmp_path / "far").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "far" / "a")
    for content in ("old", "new"):  # (what it leads to is not there at first)
        assert store.write(link, content) == link
        assert link.is_symlink()
        assert (tmp_path / "far" / "a").read_text() == content
    assert os.listdir(tmp_path / "far") == ["a"]


def test_what_is_no_file_is_not_replaced_by_one(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    for name in ("pipe", "link"):
        with pytest.raises(ValueError, match=rf"{name} is no file, but a pipe or a device"):
            store.write(tmp_path / name, "new")
    with pytest.raises(ValueError, match=r"is a folder: name a file in it; nothing was written"):
        store.write(tmp_path, "new")
    assert (tmp_path / "pipe").is_fifo()


def test_a_real_limit_on_file_size_leaves_the_old_file(tmp_path, root):
    """The kernel's own refusal, in a process that may write 4 kB."""
    code = (
        "import pathlib, signal, sys; from harness.record import store\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "store.write(path, 'old')\n"
        "store.write(path, 'x' * 100_000)\n"
    )
    path = tmp_path / "a.json"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=root,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )
    assert "File too large" in done.stderr
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_ctrl_c_during_a_write_waits_for_it(tmp_path, monkeypatch):
    path = store.write(tmp_path / "a", "old")
    real = os.replace

    def interrupted(a, b):
        os.kill(os.getpid(), 2)
        real(a, b)

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.write(path, "new")
    assert path.read_text() == "new"


def test_a_changed_config_is_refused_by_field(tmp_path):
    store.check_config(tmp_path, {"lr": 0.1, "momentum": 0.5})
    store.check_config(tmp_path, {"lr": 0.1, "momentum": 0.5})
    store.check_config(tmp_path, {"lr": 0.1, "momentum": 0.5, "new": "default"})  # a later knob
    with pytest.raises(ValueError, match=r"made with momentum=0\.5, now it is 0\.9"):
        store.check_config(tmp_path, {"lr": 0.1, "momentum": 0.9})


def test_claims_exclude_each_other_and_end_with_their_holder(tmp_path, root):
    code = (
        "import pathlib, sys; from harness.record import store\n"
        "with store.claim(pathlib.Path(sys.argv[1])) as mine:\n"
        "    print(mine, flush=True)\n"
        "    sys.stdin.readline()\n"
    )
    argv = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(argv, cwd=root, stdin=-1, stdout=-1, text=True) as other:
        assert other.stdout.readline() == "True\n"
        with store.claim(tmp_path) as mine:
            assert mine is False
        other.kill()
    with store.claim(tmp_path) as mine:
        assert mine is True


def test_checkpoints_hold_tensors_and_builtins_only(tmp_path):
    path = tmp_path / "c.pt"
    assert load_checkpoint(path) is None
    save_checkpoint(path, {"epochs": 2, "parts": {"net": {"w": torch.ones(2)}}})
    assert load_checkpoint(path)["epochs"] == 2
    path.write_bytes(pickle.dumps(Bomb(tmp_path / "owned")))
    with pytest.raises(ValueError, match=r"c\.pt is damaged"):
        load_checkpoint(path)
    assert not (tmp_path / "owned").exists()


def test_a_pickle_cannot_change_our_classes(tmp_path):
    """BUILD on a class that it names sets attributes of a class made for this file alone."""
    attack = b"charness.experiment\nExperiment\n(N(S'done'\nS'twist'\ndtb0."
    honest = Experiment.done
    (tmp_path / "evil.pkl").write_bytes(attack)
    for read in (store.load, store.load_array):
        with pytest.raises(ValueError, match="trusted"):
            read(tmp_path / "evil.pkl")
        assert Experiment.done is honest


def test_a_field_that_only_one_of_two_configs_has_is_no_difference():
    """A plan's config may gain a setting or lose one: the key of an arm says what is not default."""
    store.compare_config({"width": 3, "gone": 0}, {"width": 3, "new": True}, "here")
    with pytest.raises(ValueError, match="here was made with width=3, now it is 4"):
        store.compare_config({"gone": 0, "width": 3}, {"width": 4}, "here")
