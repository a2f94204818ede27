# Targets for people, hooks and CI. `make help` lists them.
PYTHON ?= python3
VENV   := .venv
BIN    := $(CURDIR)/$(VENV)/bin
SHELL  := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# On a machine without a GPU, `make run TORCH=cpu` avoids the download of CUDA's gigabytes (Linux; on
# a Mac, PyPI's build has no CUDA). If pip is configured for a CPU build of torch, nothing is needed.
TORCH ?= default
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
ifeq ($(TORCH),cpu)
PIP_EXTRA := --extra-index-url $(TORCH_INDEX)
else ifneq ($(TORCH),default)
$(error TORCH=$(TORCH): use TORCH=cpu or leave it out)
endif
# Relative paths: the folder of the checkout may have blanks and quotes in its name.
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check install --progress-bar off $(PIP_EXTRA)
# Compiles on all cores; pip uses one. A few packages ship files that no Python 3 can read.
COMPILE := $(VENV)/bin/python -m compileall -qq -j 0 $(VENV)/lib src || true

# Stages are called as `python -m genmint`, with this python.
export PATH := $(BIN):$(PATH)
# Telemetry is off unless the user switches it on.
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

# By hash, except torch and CUDA's packages, which have several builds. The last line adds genmint
# itself, and the packages that are only needed on another Python than that of `make lock`.
define INSTALL
	$(PIP) -q --no-compile --no-deps --use-pep517 --require-hashes -r requirements/$(1).txt
	$(PIP) -q --no-compile -c requirements/constraints.txt torch
	$(PIP) -q --no-compile --no-build-isolation -c requirements/constraints.txt -e '.$(2)'
endef

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml requirements/constraints.txt requirements/run.txt
	@echo "Installing genmint into $(VENV) (about 2 minutes) …"
	$(call INSTALL,run,)
	@$(COMPILE)
	@touch $@

$(VENV)/.installed-dev: $(VENV)/bin/python pyproject.toml requirements/constraints.txt requirements/dev.txt
	@echo "Installing genmint and the tools of lint and test into $(VENV) (about 2 minutes) …"
	$(call INSTALL,dev,[dev])
	@$(COMPILE)
	@touch $(VENV)/.installed $@

.PHONY: setup
setup: $(VENV)/.installed ## create .venv and install genmint

.PHONY: setup-dev
setup-dev: $(VENV)/.installed-dev

.PHONY: run
run: setup ## install, then dvc repro, promote and report on the built-in data sets
	dvc repro
	genmint promote
	genmint report

.PHONY: repro
repro: setup ## run dvc repro in .venv
	dvc repro

.PHONY: ui
ui: setup ## open the MLflow UI on the store of this checkout, http://127.0.0.1:5000
	python -m genmint ui

# STORE=postgresql://… is the database of both servers, ALERTS='URL …' the addresses for alerts,
# ARGS='--workers 2 --host …' any other option of `genmint services --help`.
.PHONY: services
services: setup ## run the servers of MLflow and Prefect and this machine's workers, until Ctrl-C
	@exec python -m genmint services $(ARGS)

.PHONY: format
format: setup-dev ## format the code with ruff
	ruff check --fix $(SOURCES)
	ruff format $(SOURCES)

.PHONY: docs
docs: setup-dev ## write docs/configuration.md and config/params.schema.json from the settings' fields
	$(VENV)/bin/python scripts/settings.py

.PHONY: lint
lint: setup-dev ## check the code: ruff, mypy (strict on src), import contracts
	ruff check $(SOURCES)
	ruff format --check $(SOURCES)
	mypy
	lint-imports

.PHONY: test
test: setup-dev lint ## install, lint, check types and run the tests
	@command -v chromium > /dev/null || echo "skipped without chromium: the tests marked browser"
	@test -n "$${GENMINT_DATA_MIRROR:-}" || echo "skipped without GENMINT_DATA_MIRROR: the tests on MNIST and tiny-shakespeare"
	@test -n "$${GENMINT_AXE:-}" || echo "skipped without GENMINT_AXE: the rules of axe-core on our pages"
	OMP_NUM_THREADS=1 $(PYTEST) -n 3 --dist worksteal -m "not soak" --durations=20

.PHONY: coverage
coverage: setup-dev ## run the same tests and report uncovered lines; some minutes slower
	OMP_NUM_THREADS=1 $(PYTEST) -n 3 --dist worksteal -m "not soak" --cov --cov-report=term

.PHONY: soak
soak: setup-dev ## run the long forms of the tests (over an hour)
	$(PYTEST) -m "soak and not faults" --timeout 3600

.PHONY: faults
faults: setup-dev ## kill stages, promote, dvc repro, services and flows at 300 random moments, or fill the disk
	OMP_NUM_THREADS=1 GENMINT_FAULT_MOMENTS=3 $(PYTEST) -n 2 --dist loadgroup -m faults --timeout 3600 -v

# Additional packages of these two stay out of $(VENV): see scripts/overlay.py.
.venv-bench/.installed .venv-mutation/.installed: .venv-%/.installed: $(VENV)/.installed-dev
	$(VENV)/bin/python scripts/overlay.py $* .venv-$* --progress-bar off $(PIP_EXTRA)
	@touch $@

.PHONY: mutate
mutate: .venv-mutation/.installed ## mutation tests of src/genmint/decision/gate.py
	rm -rf mutants
	.venv-mutation/bin/python -m mutmut run
	@.venv-mutation/bin/python -m mutmut results

.PHONY: bench
bench: .venv-bench/.installed ## compare the speed of training and sampling with other trainers; writes benchmarks/results/peers.md
	.venv-bench/bin/python benchmarks/run.py

.PHONY: audit
audit: setup-dev ## check for known vulnerabilities (GENMINT_ADVISORIES: an OSV database) and licences; write an SBOM
	$(VENV)/bin/python scripts/audit.py

.PHONY: lock
lock: ## rebuild requirements/constraints.txt, the versions that are tested together
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip --disable-pip-version-check install -q $(PIP_EXTRA) -c requirements/constraints.in '.[dev,soak]'
	.venv-lock/bin/python -m pip freeze --exclude genmint | $(PYTHON) scripts/lock.py > requirements/constraints.txt.new
	mv requirements/constraints.txt.new requirements/constraints.txt
	.venv-lock/bin/python scripts/hashes.py
	rm -rf .venv-lock

.PHONY: hooks
hooks: setup-dev ## install the git hook that runs lint before every commit
	pre-commit install

.PHONY: clean
clean: ## remove the environment and caches; data, models and the registry stay
	rm -rf $(VENV) .venv-bench .venv-mutation .venv-lock mutants build coverage .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
