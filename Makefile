# People, hooks and CI run these targets. `make help` lists them.
PYTHON ?= python3
VENV   := .venv
BIN    := $(CURDIR)/$(VENV)/bin
SHELL  := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# A machine without a GPU saves CUDA's gigabytes with `make run TORCH=cpu` (Linux; on a Mac PyPI's
# build has no CUDA). Where a CPU build of torch is already configured for pip, nothing is needed.
TORCH ?= default
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
ifeq ($(TORCH),cpu)
PIP_EXTRA := --extra-index-url $(TORCH_INDEX)
else ifneq ($(TORCH),default)
$(error TORCH=$(TORCH): use TORCH=cpu or leave it out)
endif
# By relative paths: the folder of the checkout may have blanks and quotes in its name.
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check install --progress-bar off $(PIP_EXTRA)
# On all cores, where pip compiles on one. A few packages ship files that no Python 3 reads.
COMPILE := $(VENV)/bin/python -m compileall -qq -j 0 $(VENV)/lib src || true

# Stages are called as `python -m genmint`: this is the python they find.
export PATH := $(BIN):$(PATH)
# Nothing calls home unless its user says so.
export DO_NOT_TRACK ?= 1
export DVC_NO_ANALYTICS ?= 1
export GX_ANALYTICS_ENABLED ?= False
export MLFLOW_DISABLE_TELEMETRY ?= true
export PREFECT_SERVER_ANALYTICS_ENABLED ?= false

SOURCES := $(wildcard src tests benchmarks pipelines scripts)
PYTEST  := $(VENV)/bin/python -m pytest

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v < (3, 14) else f"genmint needs Python 3.11 to 3.13, {sys.executable} is {v[0]}.{v[1]}: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing genmint into $(VENV) (about 2 minutes) …"
	$(PIP) -q --no-compile -c constraints.txt -e .
	@$(COMPILE)
	@touch $@

$(VENV)/.installed-dev: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing genmint and the tools of lint and test into $(VENV) (about 2 minutes) …"
	$(PIP) -q --no-compile -c constraints.txt -e '.[dev]'
	@$(COMPILE)
	@touch $(VENV)/.installed $@

.PHONY: setup
setup: $(VENV)/.installed ## make .venv and install genmint

.PHONY: setup-dev
setup-dev: $(VENV)/.installed-dev

.PHONY: run
run: setup ## set up everything, then dvc repro, promote, report on the built-in data
	dvc repro
	genmint promote
	genmint report

.PHONY: repro
repro: setup ## dvc repro in the right environment
	dvc repro

.PHONY: ui
ui: setup ## the MLflow UI on the store of this checkout, http://127.0.0.1:5000
	python -m genmint ui

# STORE=postgresql://… puts both servers there, ALERTS='URL …' tells who hears of failures,
# ARGS='--workers 2 --host …' is what else `genmint services --help` lists.
.PHONY: services
services: setup ## MLflow's and Prefect's servers and this machine's workers, until Ctrl-C
	@exec python -m genmint services $(ARGS)

.PHONY: format
format: setup-dev ## let ruff put the code in order
	ruff check --fix $(SOURCES)
	ruff format $(SOURCES)

.PHONY: lint
lint: setup-dev ## ruff, mypy (strict on src), import contracts
	ruff check $(SOURCES)
	ruff format --check $(SOURCES)
	mypy
	lint-imports

.PHONY: test
test: setup-dev lint ## set up everything, lint, type-check, test
	@command -v chromium > /dev/null || echo "skipped without chromium: the tests marked browser"
	@test -n "$${GENMINT_DATA_MIRROR:-}" || echo "skipped without GENMINT_DATA_MIRROR: the tests on MNIST and tiny-shakespeare"
	OMP_NUM_THREADS=1 $(PYTEST) -n 3 --dist worksteal -m "not soak" --durations=20

.PHONY: coverage
coverage: setup-dev ## the same tests, and which lines they miss; some minutes slower
	OMP_NUM_THREADS=1 $(PYTEST) -n 3 --dist worksteal -m "not soak" --cov --cov-report=term

.PHONY: soak
soak: setup-dev ## the long forms of the tests (over an hour)
	$(PIP) -q -c constraints.txt -e '.[dev,soak]'
	$(PYTEST) -m soak --timeout 3600

.PHONY: mutate
mutate: setup-dev ## change gating.py in every way there is and see that a test notices
	$(PIP) -q -c constraints.txt -e '.[dev,mutation]'
	rm -rf mutants
	python -m mutmut run
	@python -m mutmut results

.PHONY: bench
bench: setup-dev ## time training and sampling against peers; writes benchmarks/results.md
	$(PIP) -q -c constraints.txt -e '.[dev,bench]'
	python benchmarks/run.py

.PHONY: lock
lock: ## rebuild constraints.txt: what was tested together
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip --disable-pip-version-check install -q $(PIP_EXTRA) -c constraints.in '.[dev,soak]'
	.venv-lock/bin/python -m pip freeze --exclude genmint | $(PYTHON) scripts/lock.py > constraints.txt.new
	mv constraints.txt.new constraints.txt
	rm -rf .venv-lock

.PHONY: hooks
hooks: setup-dev ## run lint before every commit
	pre-commit install

.PHONY: clean
clean: ## remove the environment and caches; data, models and the registry stay
	rm -rf $(VENV) build coverage .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
