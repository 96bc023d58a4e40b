# make help lists the targets. An active conda or venv environment that has the package is used as
# it is; otherwise .venv is made here.

SHELL := /bin/bash
.DEFAULT_GOAL := help

ACTIVE := $(shell python -c 'import importlib.metadata as m, sys; m.version("iddl"); \
  print(sys.executable if sys.prefix != sys.base_prefix or __import__("os").environ.get("CONDA_PREFIX") else "")' 2>/dev/null)
PYTHON := $(if $(ACTIVE),$(ACTIVE),.venv/bin/python)
RUNTIME := $(if $(ACTIVE),,.venv/.runtime)
DEV := $(if $(ACTIVE),,.venv/.dev)
TORCH_LOW := torch==2.6.0 torchvision==0.21.0
TORCH_HIGH := torch==2.15.0 torchvision==0.29.2
# (not avx2: the kernels are tested as AVX2 by test-isas, and nehalem is further from this machine)
QUICK_MACHINES := iddl user nehalem
EXTRAS := tests/compress/int8 tests/compress/identities/test_int8.py tests/compress/runs/test_int8.py \
  tests/benchmarks/test_int8.py tests/compress/pruning tests/bibd/onnx tests/mlp/test_saved.py tests/mlp/web \
  tests/parallel/zero/web tests/resnet/test_export.py tests/resnet/web \
  tests/harness/result/test_report_browser.py tests/primer/site
# (clusters of this machine: a target of their own, and a process each, as most of their time is waiting)
NODES := tests/harness/engine/test_slurm_nodes.py tests/harness/engine/test_ray_nodes.py
TOGETHER := -n auto --dist worksteal
export PYTHON
# (images set it: each of hundreds of processes of tests would compile the project anew)
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test test-slow test-sanitized test-isas test-extras test-engines test-machines lint pages site bench test-torch-range clean

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 20
	@echo "python:             $(PYTHON)"

demo: $(RUNTIME) ## install if needed, then the MLP study on embedded data: table, figures, report (20 s)
	bash mlp/run_mlp_experiments.sh smoke

test: $(DEV) ## the test suite, one process a core (about 9 minutes on 2 cores)
	$(PYTHON) -m pytest -m "not slow" $(TOGETHER)

test-slow test-sanitized test-isas: export IDDL_EXAMPLES = all

test-slow: $(DEV) ## what takes minutes, and all examples of hypothesis
	$(PYTHON) -m pytest -m "slow or hypothesis" $(TOGETHER) $(addprefix --ignore=,$(NODES))
	$(MAKE) test-sanitized test-isas
	$(PYTHON) tests/machines.py --quick $(QUICK_MACHINES)

test-extras: $(DEV) ## the tests of the extras browser, int8, onnx and structured, which are installed for it
	$(PYTHON) -m pip install -q -e '.[browser,int8,onnx,structured]'
	npm install --silent --no-save --ignore-scripts --prefix . onnxruntime-web || echo 'no npm here: one page is not tried'
	$(PYTHON) -m pytest -m "not slow" $(EXTRAS) $(TOGETHER)

test-engines: $(DEV) ## studies on two Slurm nodes (as root, with slurm-wlm and munge) and two Ray nodes of this machine (IDDL_MOMENTS=all: each moment)
	$(PYTHON) -m pip install -q -e '.[ray]'
	$(PYTHON) -m pytest -m slow $(NODES) -n 2 --dist loadfile

test-machines: $(DEV) ## the suite on machines that are not this one, an hour or two (python tests/machines.py --list)
	$(PYTHON) tests/machines.py

test-sanitized: $(DEV) ## the tests of the native kernels with the address and undefined-behaviour sanitizers (g++)
	@command -v g++ > /dev/null || { echo "test-sanitized: no g++, skipped"; exit 0; }; \
	CXX=g++ IDDL_CXXFLAGS="-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -O1 -g1" \
	LD_PRELOAD="$$(g++ -print-file-name=libasan.so) $$(g++ -print-file-name=libubsan.so) $$(g++ -print-file-name=libstdc++.so)" \
	ASAN_OPTIONS=detect_leaks=0 $(PYTHON) -m pytest tests/bibd/kernels/test_native.py

test-isas: $(DEV) ## the same for AVX2 and for the baseline, as older processors would build them
	IDDL_ISA=avx2 $(PYTHON) -m pytest tests/bibd/kernels/test_native.py
	IDDL_ISA=baseline $(PYTHON) -m pytest tests/bibd/kernels/test_native.py

lint: $(DEV) ## ruff, pyright, the floors of the house, shellcheck where it is installed
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m pyright --pythonpath "$$(command -v $(PYTHON))"
	$(PYTHON) -c 'from importlinter.cli import lint_imports_command as main; main()'
	@if command -v shellcheck > /dev/null; then shellcheck -x */*.sh .ci/run; else echo "shellcheck: not installed, skipped"; fi

pages: $(DEV) ## write the tables and numbers of all READMEs from the records
	$(PYTHON) -m harness.result.pages

site: $(DEV) ## pages of all notebooks, published records and demos in site/, to open without a network (3 minutes)
	$(PYTHON) -m primer.site

bench: $(DEV) ## measure the speed claims of the README on this machine
	$(PYTHON) -m benchmarks.startup
	$(PYTHON) -m benchmarks.mlp_study
	$(PYTHON) -m benchmarks.resnet_loader
	$(PYTHON) -m benchmarks.parallel_worlds
	$(PYTHON) -m bibd bench

test-torch-range: ## the suite at both ends of the supported torch releases (two more environments)
	$(MAKE) .venv-torch-low .venv-torch-high
	.venv-torch-low/bin/python -m pytest -m "not slow" $(TOGETHER)
	.venv-torch-high/bin/python -m pytest -m "not slow" $(TOGETHER)

.venv-torch-low .venv-torch-high: pyproject.toml
	$(or $(BASE),python3) -m venv $@
	$@/bin/python -m pip install -q $(if $(findstring low,$@),$(TORCH_LOW),$(TORCH_HIGH)) -e '.[dev]'
	@touch $@

.venv/bin/python:
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "python3 is $$(python3 --version); 3.11 or newer is needed"; exit 1; }
	python3 -m venv .venv

.venv/.runtime: pyproject.toml | .venv/bin/python
	.venv/bin/python -m pip install -q -e .
	@touch $@

.venv/.dev: pyproject.toml | .venv/bin/python
	.venv/bin/python -m pip install -q -e '.[dev]'
	@touch $@ .venv/.runtime

clean: ## remove environments, caches and what smoke left
	rm -rf .venv .venv-torch-* .pytest_cache .ruff_cache .hypothesis results/*/smoke site
