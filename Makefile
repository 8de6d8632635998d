# `make demo` and `make test` need Python >= 3.10 with its headers, a C++ compiler and a package index; they install
# everything else into .venv. Each finished step leaves a stamp there, so a second run takes seconds and an interrupted
# first run goes on with the step it was in.
#
#   make PYTHON=python3.12 demo     another interpreter for .venv (only read when .venv is created)
#   make STACK=onedl demo           the maintained forks of mmcv, mmdet and mmseg, in .venv-onedl
#   make TORCH_INDEX=URL demo       take torch from this index instead of choosing one
#   make MMCV_CUDA=0|1 demo         build mmcv's ops without or with CUDA instead of looking for a GPU and nvcc
#   make test ARGS='tests/test_utils -x'

# OpenMMLab's releases (mim), or the forks with the same import names (onedl); never both in one environment.
STACK ?= mim
ifeq ($(filter mim onedl,$(STACK)),)
$(error STACK=$(STACK) is neither mim nor onedl)
endif
VENV ?= $(if $(filter onedl,$(STACK)),.venv-onedl,.venv)
DEMO_OUT ?= work_dirs/demo
ARGS ?=
# Tests run in so many processes, a file in one; each computes with so many threads.
TEST_JOBS ?= auto
TEST_THREADS ?= 1

BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps
PINS := requirements/constraints.txt
STEP := STACK='$(STACK)' VENV='$(VENV)' STAMPS='$(STAMPS)' PINS='$(PINS)' bash scripts/env_step.sh

export PYTHON TORCH_INDEX MMCV_CUDA MAX_JOBS

.PHONY: help env demo test test-long lint docs clean clean-env

help:
	@echo 'make demo       train all stages on generated data, print the table, write panels to $(DEMO_OUT)'
	@echo 'make test       run the tests'
	@echo 'make test-long  run those that try very many inputs: half an hour'
	@echo 'make env        only create $(VENV) (STACK=onedl: with the maintained forks)'
	@echo 'make lint       check style and types with ruff and mypy'
	@echo 'make docs       build the documentation in docs/_build/html'
	@echo 'make clean      remove caches, build files and $(DEMO_OUT)'
	@echo 'make clean-env  remove $(VENV)'

demo: env
	$(BIN)/python tools/demo.py --out-dir '$(DEMO_OUT)' $(ARGS)

test: env
	OMP_NUM_THREADS=$(TEST_THREADS) $(BIN)/python -m pytest -q -n $(TEST_JOBS) --dist loadfile --durations=10 $(ARGS)

test-long: env
	$(BIN)/python -m pytest -q --durations=0 -m long $(ARGS)

lint: env $(STAMPS)/lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# -W: warnings fail. -n: so do references to what does not exist.
docs: env $(STAMPS)/docs
	$(BIN)/python -m sphinx -W --keep-going -n -E -q -b html -d docs/_build/doctrees docs docs/_build/html $(ARGS)
	@echo 'docs/_build/html/index.html'

env: $(STAMPS)/package

$(STAMPS)/python: $(PINS)
	@$(STEP) python
$(STAMPS)/torch: $(PINS) $(STAMPS)/python
	@$(STEP) torch
$(STAMPS)/mmcv: $(PINS) $(STAMPS)/torch
	@$(STEP) mmcv
$(STAMPS)/openmmlab: $(PINS) $(STAMPS)/mmcv
	@$(STEP) openmmlab
$(STAMPS)/crf: $(PINS) $(STAMPS)/python
	@$(STEP) crf
$(STAMPS)/tests: $(PINS) $(STAMPS)/python
	@$(STEP) tests
$(STAMPS)/package: setup.py pyproject.toml $(STAMPS)/openmmlab $(STAMPS)/crf $(STAMPS)/tests
	@$(STEP) package
$(STAMPS)/lint: $(PINS) $(STAMPS)/python
	@$(STEP) lint
$(STAMPS)/docs: $(PINS) $(STAMPS)/python
	@$(STEP) docs

clean:
	rm -rf build dist docs/_build *.egg-info .pytest_cache .ruff_cache .mypy_cache '$(DEMO_OUT)'
	find bana_mm tests tools configs -name __pycache__ -type d -prune -exec rm -rf {} +

clean-env:
	rm -rf '$(VENV)'
