"""That the package can be taken out of the repository and used alone."""

import shutil
import subprocess
import sys

from tests.python import ROOT

CODE = """
import os, sys
import torch
import bibd
assert bibd.__file__.startswith(os.getcwd()), bibd.__file__
names = [getattr(bibd, name) for name in bibd.__all__]
assert len(names) == len(dir(bibd)) > 20, names
assert bibd.__version__
layer = bibd.BibdLinear(16, 20)
layer(torch.ones(2, 16)).sum().backward()
assert layer.weight.grad.shape == layer.weight.shape == (80,)
assert bibd.certify(layer).lam == 1
assert not {"harness", "mlp", "parallel"} & set(sys.modules), "others of the house were loaded"
"""


def test_it_needs_no_other_package_of_the_house(tmp_path):
    ignored = shutil.ignore_patterns("__pycache__", "*.so", "draw.py")
    shutil.copytree(ROOT / "bibd", tmp_path / "bibd", ignore=ignored)
    # (an installation of the house may still be found; hence the look at what was loaded)
    argv = [sys.executable, "-c", CODE]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=tmp_path.resolve(), timeout=120)
    assert done.returncode == 0, done.stderr
