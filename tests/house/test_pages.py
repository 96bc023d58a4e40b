"""The pages: their code runs, their commands exist, their numbers are those of the records."""

import ast
import importlib
import re
import subprocess
import sys
import textwrap
import tomllib
from importlib import metadata

import nbformat
import pytest
import yaml

from harness.result import pages
from tests.python import python
from tests.tree import ROOT

NAMES = ("", "benchmarks", "bibd", "compress", "ensemble", "harness", "mlp", "parallel", "resnet")
READMES = [ROOT / name / "README.md" for name in NAMES]
GUIDES = [ROOT / name for name in ("setup.md", "contribution_guide.md", "CHANGELOG.md")]


def name(path):
    return str(path.relative_to(ROOT))


def fenced(path, kind):
    return re.findall(rf"```{kind}\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("path", READMES, ids=name)
def test_making_the_pages_changes_nothing(path):
    """So every table and every marked number is what the records say."""
    text = path.read_text(encoding="utf-8")
    assert pages.fill(text) == text, f"{name(path)}: run `make pages`"


@pytest.mark.parametrize("path", READMES, ids=name)
def test_a_page_says_no_interval_and_no_share_without_its_source(path):
    assert pages.loose(path.read_text(encoding="utf-8")) == []


def test_every_table_and_value_of_the_pages_is_shown_somewhere():
    text = "".join(path.read_text(encoding="utf-8") for path in READMES)
    shown = {(kind, f"{study}.{word}") for kind, study, word, _ in pages.MARK.findall(text)}
    for study in ("benchmarks", "compress", "ensemble", "mlp", "parallel", "resnet"):
        module = importlib.import_module(f"{study}.pages")
        made = {("table", f"{study}.{word}") for word in module.TABLES}
        assert made | {("value", f"{study}.{word}") for word in module.VALUES} <= shown


def test_the_first_page_is_short():
    text = READMES[0].read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 130
    blocks = fenced(READMES[0], "python")
    assert len(blocks) == 2
    assert all(len(block.splitlines()) <= 12 for block in blocks)


def test_the_first_page_names_every_folder():
    text = READMES[0].read_text(encoding="utf-8")
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git checkout")
    folders = {line.split("/")[0] for line in done.stdout.splitlines() if "/" in line}
    for folder in sorted(folders - {".ci"}):
        assert f"{folder}/" in text, folder


def test_some_page_leads_to_every_notebook():
    text = "".join(path.read_text(encoding="utf-8") for path in READMES)
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        assert f"notebooks/{path.name})" in text, path.name


def test_the_first_page_tells_of_the_pages_that_compute():
    text = READMES[0].read_text(encoding="utf-8")
    for words in ("`make site`", "`python -m mlp page`", "`python -m parallel memory --html"):
        assert words in text, words


def test_published_figures_are_triples_filed_by_study_and_plan():
    paths = [path for path in (ROOT / "figure").rglob("*") if path.is_file()]
    assert {len(path.relative_to(ROOT / "figure").parts) for path in paths} == {3}
    for path in paths:
        kinds = {p.suffix for p in path.parent.glob(f"{path.stem}.*")}
        assert kinds == {".png", ".eps", ".json"}, name(path)


@pytest.mark.parametrize("path", [*READMES, GUIDES[1]], ids=name)
def test_code_on_a_page_does_not_scroll(path):
    for block in fenced(path, "python"):
        for line in block.splitlines():
            assert len(line) <= 75, line
            assert line.lstrip().startswith("#") or "  #" not in line, line


@pytest.mark.parametrize("path", [*READMES, *GUIDES[:2]], ids=name)
def test_python_on_a_page_runs(path, tmp_path):
    """One block after the other, each as a script of its own, from the checkout.

    What trains for hundreds of steps takes as many single ones here.
    """
    blocks = fenced(path, "python")
    if not blocks:
        pytest.skip("no code")
    runner = "import runpy, sys\nfor n in sys.argv[1:]: runpy.run_path(n, run_name='__main__')\n"
    files = []
    for number, block in enumerate(blocks):
        files.append(tmp_path / f"block_{number}.py")
        files[-1].write_text(re.sub(r"\b(steps|every)=(\d)00\b", r"\1=\2", block))
    done = python("-W", "error", "-c", runner, *files)
    assert done.returncode == 0, done.stdout + done.stderr


def environment():
    import os

    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def commands():
    """The commands of all pages, each once; a command of several words stays one."""
    lines = [
        line.split("#")[0].strip()
        for path in [*READMES, *GUIDES[:2]]
        for block in fenced(path, "sh")
        for line in block.splitlines()
    ]
    text = "".join(path.read_text(encoding="utf-8") for path in READMES)
    lines += re.findall(
        r"`(python -m (?:compress|ensemble|mlp|parallel|resnet) [^`\n<\[.]*)`", text
    )
    return list(dict.fromkeys(line for line in lines if line))


def test_the_two_commands_are_there():
    assert {"make demo", "make test"} <= set(commands())


PLANLESS = ("--list", "--help", "costs", "bench", "verify", "schedule", "gossip", "memory")


def dry(words, tmp_path):
    """The command as one that trains and writes nothing."""
    study, verb = words[2], words[3]
    if verb == "draw":
        return [*words, "--to", str(tmp_path / "picture")]
    if verb in ("bench", "export", "pack", "page", "sizes"):
        return [*words[:4], "--help"]
    if words[2:4] == ["resnet", "costs"] and "--depths" not in words:
        return [*words, "--depths", "18"]  # (of all depths it takes minutes of nothing but sums)
    if "--html" in words:
        return [*words[:-1], str(tmp_path / words[-1])]
    if verb == "gossip":
        return [*words, "--epochs", "0", "--world", "sim", "--log-path", str(tmp_path / "logs")]
    if (
        study in ("compress", "ensemble", "mlp", "parallel", "resnet")
        and verb not in PLANLESS
        and "--dry-run" not in words
    ):
        return [*words, "--dry-run"]
    return words


PYTHON = """
import runpy, sys
from harness.result import findings

def held(subject, identity, kind, check, bound=None, through=()):
    return findings.Finding(subject, identity, kind, 1e9 * (kind == "negative"), 0.0)

findings.find = held  # (identities are computed by tests of their own, for minutes)
for line in sys.stdin.read().splitlines():
    sys.argv = line.split("\\0")
    try:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code not in (0, None):
            sys.exit(f"{sys.argv}: {end.code}")
"""


@pytest.mark.slow
def test_commands_on_the_pages_exist(tmp_path):
    """Make targets are there; python -m commands parse (as a dry run where they would train)."""
    makefile = (ROOT / "Makefile").read_text()
    lines = []
    for command in commands():
        words = command.removeprefix("time ").split()
        if words[0] == "make":
            assert re.search(rf"^{words[1]}:", makefile, re.MULTILINE), command
        elif words[:2] == ["python", "-m"] and words[2].startswith("benchmarks."):
            assert (ROOT / words[2].replace(".", "/")).with_suffix(".py").exists(), command
        elif words[:2] == ["python", "-m"] and len(words) > 3:
            lines.append("\0".join(dry(words, tmp_path)[2:]))
        elif words[0] in ("bash", "python") and words[1] != "-m":
            assert (ROOT / words[1]).exists(), command
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PYTHON)], input="\n".join(lines),
        capture_output=True, text=True, timeout=300, cwd=ROOT, env=environment(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("path", [*READMES, *GUIDES], ids=name)
def test_links_lead_somewhere(path):
    for target, anchor in re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", path.read_text("utf-8")):
        if target.startswith("http"):
            continue
        there = (path.parent / target) if target else path
        assert there.exists(), f"{name(path)}: {target}"
        if anchor:
            heads = re.findall(r"^#+ (.*)$", there.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}
            assert anchor in slugs, f"{name(path)}: {target}#{anchor}"


def test_the_version_is_one_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert str(cited["version"]) == project["version"]
    assert f"version = {{{project['version']}}}" in READMES[0].read_text(encoding="utf-8")
    for package in ("harness", "bibd", "parallel", "ensemble", "compress"):
        assert importlib.import_module(package).__version__ == metadata.version("iddl")


def test_every_package_says_that_it_is_typed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for package in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
        assert (ROOT / package / "py.typed").exists(), package


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=name)
def test_what_a_notebook_imports_is_there(path):
    cells = nbformat.read(path, as_version=4).cells
    code = "".join(c.source.replace("%", "#") + "\n" for c in cells if c.cell_type == "code")
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                importlib.import_module(alias.name)
        elif isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module)
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")


@pytest.mark.parametrize("book", ["03_sparse_speed", "04_resnet_experiments"])
def test_notebooks_end_with_what_to_take_away(book):
    """Said from the records, in a cell that was executed; and no table has a hole."""
    cells = nbformat.read(ROOT / "notebooks" / f"{book}.ipynb", as_version=4).cells
    assert "What to take away" in cells[-2].source
    (output,) = cells[-1].outputs
    assert "text/markdown" in output.data
    texts = [str(o.get("data", {}).get("text/plain")) for c in cells for o in c.get("outputs", ())]
    assert not [text for text in texts if re.search(r"\bNaN\b", text)]
