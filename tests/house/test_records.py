"""Committed records are still those of the plans, however the plans are cut into files."""

import importlib
import re

import pytest

from harness.plan import arm_key
from harness.record import store
from harness.record.study import Study
from tests.tree import ROOT, STUDIES

SPOTS = re.compile(r"""(?<![\w.~/:])/(?:home|root|work|tmp|Users)/[^"' ]*""")
RECORDS = sorted((ROOT / "results").glob("*/*/experiment.json"))


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: "-".join(path.parts[-3:-1]))
def test_every_committed_run_belongs_to_an_arm_of_its_plan(path):
    folder, name = path.parts[-3:-1]
    plan = importlib.import_module(f"{folder}.experiments").PLANS[name]
    keys = {arm: arm_key(arm, config) for arm, config in plan.arms.items()}
    stored = store.load(path)
    assert {run.arm: run.key for run in stored.runs}.items() <= keys.items()
    kept = Study(folder, name, plan, ROOT / "results").aggregate()  # refuses what does not fit
    assert len(kept.runs) == len(stored.runs)


def test_every_study_has_records():
    assert {path.parts[-3] for path in RECORDS} == set(STUDIES)


@pytest.mark.parametrize("study", STUDIES)
def test_all_arms_of_a_plan_have_the_settings_of_its_family(study):
    """(What they share are the options of the plan.)"""
    for plan in importlib.import_module(f"{study}.experiments").PLANS.values():
        assert len({type(config) for config in plan.arms.values()}) == 1


TEXTS = {
    "results": ("*/*/experiment.json", "*/*/*/experiment.json"),
    "benchmarks": ("**/*.json",),
    "figure": ("**/*.json",),
    "notebooks": ("*.ipynb",),
}


@pytest.mark.parametrize("folder", TEXTS)
def test_no_record_names_a_folder_of_the_machine_that_it_was_made_on(folder):
    paths = [path for kind in TEXTS[folder] for path in (ROOT / folder).glob(kind)]
    assert paths
    found = {path.name: SPOTS.findall(path.read_text("utf-8")) for path in paths}
    assert {name: spots for name, spots in found.items() if spots} == {}


def test_a_folder_of_a_machine_is_seen():
    assert SPOTS.findall("it waits at /root/net.py:3") == ["/root/net.py:3"]
    assert SPOTS.findall("steps a second: figure/tmp/a, https://a.org/home/b, 1 /work") == []
