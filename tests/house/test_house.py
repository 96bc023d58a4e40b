"""Pages: commands, snippets, links, tables and figures are those of the code and the records."""

import re
import sys

import pytest

from tests.tree import ROOT, run

README = (ROOT / "README.md").read_text()


def fenced(kind):
    return re.findall(rf"```{kind}\n(.*?)```", README, re.DOTALL)


def test_python_in_the_readme_runs():
    blocks = fenced("python")
    assert blocks
    for block in blocks:
        done = run(sys.executable, "-W", "error", "-c", block)
        assert done.returncode == 0, block + done.stderr


def test_commands_in_the_readme_exist(tmp_path):
    """Make targets are there; python -m commands parse (as a dry run where they would train)."""
    makefile = (ROOT / "Makefile").read_text()
    commands = [line.split("#")[0].strip() for block in fenced("sh") for line in block.splitlines()]
    commands = [c for c in commands if c]
    assert "make demo" in commands
    assert "make test" in commands
    for command in commands:
        words = command.split()
        if words[0] == "make":
            assert re.search(rf"^{words[1]}:", makefile, re.MULTILINE), command
        elif words[:2] == ["python", "-m"]:
            if words[3] == "draw":
                words += ["--to", str(tmp_path / "picture")]
            if words[3] == "bench":
                words = [*words[:4], "--help"]
            verbs = ("costs", "bench", "verify", "gossip")
            plan = words[2] in ("mlp", "parallel", "resnet") and words[3] not in verbs
            plan = plan and "--list" not in words
            if words[3] == "gossip":
                words += ["--epochs", "0", "--world", "sim", "--log-path", str(tmp_path / "logs")]
            done = run(sys.executable, *words[1:], *["--dry-run"] * plan)
            assert done.returncode == 0, command + done.stderr
        elif words[0] in ("bash", "python"):
            assert (ROOT / words[1]).exists(), command


def test_links_in_the_papers_lead_somewhere():
    for name in ("README.md", "setup.md", "contribution_guide.md", "CHANGELOG.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / name).read_text()):
            if not target.startswith("http"):
                assert (ROOT / target).exists(), f"{name}: {target}"


def test_the_table_of_the_readme_is_the_committed_record():
    from harness.record import store
    from harness.result.stats import interval
    from mlp.experiments import PUBLISHED

    whole = store.load(ROOT / "results" / "mlp" / "paper" / "experiment.json")
    for arm in whole.arms():
        published = PUBLISHED[arm]
        i = interval(whole.final(arm, "test_accuracy").values())
        assert i.n == 10
        assert f"{i.mean:.4f} ± {i.half:.4f} | {published:.4f}" in README, arm


def test_the_answer_of_the_readme_is_the_committed_record():
    from harness.record import store
    from mlp.plots import contrasts as balance

    whole = store.load(ROOT / "results" / "mlp" / "balance" / "experiment.json")
    lines = balance.verdicts(whole)
    assert len(lines) == len(balance.COMPARISONS)
    for line in lines:
        cells = " | ".join(value.replace("*", "\\*") for value in line.values())
        assert f"| {cells} |" in README


def test_committed_figures_of_the_two_plans_are_of_their_records(committed):
    from harness.record import store
    from mlp.plots import balance as plot_balance

    for plan in ("balance", "density"):
        whole = store.load(ROOT / "results" / "mlp" / plan / "experiment.json")
        committed(plan, plot_balance.figures(whole))


def test_committed_figures_are_of_the_committed_records():
    import json

    from harness.record import store
    from harness.result.stats import interval

    for plan in ("paper", "fashion"):
        whole = store.load(ROOT / "results" / "mlp" / plan / "experiment.json")
        for suffix in ("png", "eps"):
            assert (ROOT / "figure" / f"mlp_experiments_{plan}.{suffix}").exists()
        data = json.loads((ROOT / "figure" / f"mlp_experiments_{plan}.json").read_text())
        for series in data["series"].values():
            for arm, mean in zip(series["arm"], series["mean"], strict=True):
                got = interval(whole.final(arm, "test_accuracy").values()).mean
                assert mean == pytest.approx(got, abs=1e-12)
