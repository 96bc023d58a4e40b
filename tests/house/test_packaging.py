"""What is installed: the wheel, and that environments and tested releases say the same."""

import os
import re
import sys

import pytest
import yaml

from tests.tree import PACKAGES, PROJECT, ROOT, run


def test_conda_has_no_list_of_its_own():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = [d for d in environment["dependencies"] if isinstance(d, str)]
    (pip,) = [d["pip"] for d in environment["dependencies"] if isinstance(d, dict)]
    names = {re.split(r"[<>=]", d)[0] for d in conda}
    assert names == {"python", "pip", "make"}
    assert f"python{PROJECT['project']['requires-python']}" in conda
    assert pip == ["-e .[dev,notebook]"]
    assert {"dev", "notebook"} <= set(PROJECT["project"]["optional-dependencies"])


def test_the_tested_ends_are_the_ends_of_the_declared_range():
    makefile = (ROOT / "Makefile").read_text()
    for requirement in PROJECT["project"]["dependencies"][:2]:
        name, low, below = re.match(r"(\w+)>=([\d.]+),<([\d.]+)$", requirement).groups()
        tested = [v for n, v in re.findall(r"(torch|torchvision)==([\d.]+)", makefile) if n == name]
        assert tested[0] == f"{low}.0"
        major, minor = below.split(".")
        assert tested[1].startswith(f"{major}.{int(minor) - 1}.")


@pytest.mark.slow
def test_the_wheel_works_from_another_directory(tmp_path):
    wheel = run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        tmp_path,
        ROOT,
    )
    assert wheel.returncode == 0, wheel.stderr
    (file,) = tmp_path.glob("iddl-*.whl")
    site = tmp_path / "site"
    done = run(sys.executable, "-m", "pip", "install", "--no-deps", "--target", site, file)
    assert done.returncode == 0, done.stderr
    assert {p.name for p in site.iterdir() if not p.name.endswith(".dist-info")} == set(PACKAGES)
    sources = {p.name for p in (ROOT / "bibd" / "kernels").iterdir() if p.suffix in (".h", ".cpp")}
    assert sources <= {p.name for p in (site / "bibd" / "kernels").iterdir()}
    web = [p.relative_to(ROOT) for name in PACKAGES for p in (ROOT / name).rglob("*.css")]
    assert len(web) > 2
    for style in web:
        for kind in (".html", ".css"):
            source = (ROOT / style).with_suffix(kind)
            assert source.exists() <= (site / style).with_suffix(kind).exists(), style
        scripts = {p.name for p in (ROOT / style).parent.glob("*.js")}
        assert scripts <= {p.name for p in (site / style).parent.glob("*.js")}
    place = tmp_path / "elsewhere"
    place.mkdir()
    env = {"PYTHONPATH": str(site), "PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    words = ["-m", "mlp", "smoke", "--seeds", "2", "--epochs", "1", "--json"]
    done = run(sys.executable, "-P", *words, cwd=place, env=env)
    assert done.returncode == 0, done.stderr
    assert (place / "results" / "mlp" / "smoke" / "epochs-1" / "report.html").exists()
    code = "import bibd, harness, mlp; print(bibd.__file__)"
    assert str(site) in run(sys.executable, "-P", "-c", code, cwd=place, env=env).stdout
