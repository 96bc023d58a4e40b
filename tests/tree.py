"""Where the checkout is, and what is in it: read off the folders, listed nowhere."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STUDIES = sorted(path.parent.name for path in ROOT.glob("*/experiments.py"))
BESIDE = {"benchmarks", "examples", "tests"}  # packages that are not shipped
PACKAGES = sorted({path.parent.name for path in ROOT.glob("*/__init__.py")} - BESIDE)
