# Everything runs in .venv, made on first use. Needed on the machine: python3 (3.11 or newer) and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Tests in parallel: one process a core, which takes from the other when it has none left, since some are a thousand
# times longer than others. `make test JOBS=0` runs them in this process, for a debugger.
JOBS ?= auto
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
# Errors only.
# What is imported is compiled then; compiling everything now takes longer than all the downloads.
PIP_INSTALL = $(BIN)/python -m pip install -qq --no-compile --constraint constraints.txt
REQUIREMENTS := pyproject.toml constraints.txt

.PHONY: help demo test test-slow check lint types imports pages format docs bench bench-api bench-data bench-signals bench-callback \
  bench-queue test-postgres campaign campaign-kill campaign-disk quiet quiet-releases verify-index index fuzz clean
.DEFAULT_GOAL := help

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/run.stamp ## check example jobs and TRL's own scripts, then train three files under the daemon, with faults
	@$(BIN)/python scripts/demo.py

test: $(VENV)/dev.stamp ## the tests
	@$(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal

test-postgres: $(VENV)/dev.stamp ## the queue's tests against a real PostgreSQL server, which they start (as root: installs it)
	@$(BIN)/python scripts/with_postgres.py $(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal -m "postgres and not slow" tests/queue

test-slow: $(VENV)/dev.stamp ## the tests that take minutes
	@$(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal -m slow

check: lint types imports pages ## lint, format, types, import rules, generated pages (-k to see all that is wrong)

lint: $(VENV)/dev.stamp
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .

types: $(VENV)/dev.stamp
	@$(BIN)/mypy --strict src

imports: $(VENV)/dev.stamp
	@$(BIN)/lint-imports --no-logo

pages: $(VENV)/dev.stamp
	@$(BIN)/python scripts/generate_docs.py --check
	@$(BIN)/python scripts/readme.py --check
	@$(BIN)/python scripts/quiet.py --check

format: $(VENV)/dev.stamp ## let ruff put the code in order
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format --quiet .

docs: $(VENV)/dev.stamp ## write the generated pages of docs/
	@$(BIN)/python scripts/generate_docs.py
	@$(BIN)/python scripts/readme.py

bench: $(VENV)/core.stamp ## time trainguard, also against torch-preflight; writes docs/benchmarks.md
	@$(BIN)/python benchmarks/preflight.py

bench-api: $(VENV)/dev.stamp ## the API rules beside a type checker in full environments; writes docs/benchmarks.md
	@$(BIN)/python benchmarks/api.py

bench-data: $(VENV)/dev.stamp ## data and checkpoint checks beside other tools, at full size; writes docs/benchmarks.md
	@$(BIN)/python benchmarks/data.py

bench-signals: $(VENV)/dev.stamp ## the signals on the labelled traces, beside other detectors
	@$(BIN)/python benchmarks/signals.py

bench-callback: $(VENV)/dev.stamp ## what GuardCallback costs a step, in paired runs on the CPU
	@$(BIN)/python benchmarks/callback.py

campaign-kill: $(VENV)/dev.stamp ## 200 SIGKILLs of a run that saves every few steps, with and without the guard
	@$(BIN)/python benchmarks/kill_campaign.py

campaign-disk: $(VENV)/dev.stamp ## a run on 20 file systems that are too small for it
	@$(BIN)/python benchmarks/disk_full_campaign.py

campaign: $(VENV)/dev.stamp ## 500 random faults against the daemon (SEED=N draws a run again, REAL=N lives with the real trainer)
	@$(BIN)/python benchmarks/campaign/run.py --faults 500 --real $(or $(REAL),2) $(if $(SEED),--seed $(SEED))

bench-queue: $(VENV)/dev.stamp ## 10,000 files, 1,000 kills, start and status with a long history, an idle daemon; writes docs/benchmarks.md
	@$(BIN)/python benchmarks/durable_queue.py --page

index: $(VENV)/dev.stamp ## add new releases of the training libraries to the index of interfaces (asks PyPI)
	@$(BIN)/python scripts/build_api_index.py

verify-index: $(VENV)/dev.stamp ## compare the index with inspect.signature of the installed libraries
	@$(BIN)/python scripts/verify_index.py

quiet-releases: $(VENV)/dev.stamp ## check the scripts of every indexed TRL against that same TRL (asks PyPI)
	@$(BIN)/python scripts/quiet_releases.py

quiet: $(VENV)/dev.stamp ## check every script that the training libraries ship; writes docs/quiet.md
	@$(BIN)/python scripts/quiet.py

fuzz: $(VENV)/dev.stamp ## ten minutes of hostile scripts and arguments
	@$(BIN)/python scripts/fuzz.py

clean: ## remove the environment and all caches
	@rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find src tests scripts examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# The stamps form a chain, so that parallel make never runs two installers in one environment.

$(VENV)/core.stamp: $(REQUIREMENTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "trainguard needs Python 3.11 or newer; $(PYTHON) is older. Choose one: make PYTHON=python3.12 ..." >&2; exit 2; }
	@echo "installing trainguard into $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP_INSTALL) --editable .
	@touch $@

$(VENV)/run.stamp: $(VENV)/core.stamp
	@echo "installing torch and the training libraries"
	@$(PIP_INSTALL) --editable '.[train,data,watch,alerts,daemon]'
	@touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp
	@echo "installing the tools for tests and checks"
	@$(PIP_INSTALL) --editable '.[train,data,watch,alerts,daemon,dev]'
	@touch $@
