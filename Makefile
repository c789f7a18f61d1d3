# Everything from nothing: `make demo`, `make test`. The virtual environment is made once and
# brought up to date only when pyproject.toml, setup.py or constraints.txt changed.

VENV := .venv
BIN := $(VENV)/bin
# The first Python on PATH that is new enough; `make PYTHON=/path/to/python3` overrides.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
RUN := $(VENV)/.installed-run
DEV := $(VENV)/.installed-dev
PIP_INSTALL = -m pip install --quiet --disable-pip-version-check
TESTED := --constraint constraints.txt
FRESH := .venv-upgrade

.PHONY: help demo test test-pythons check bench docs web screenshots upgrade clean

help:
	@echo 'make demo    serve the echo environment and collect 1,000 episodes from it'
	@echo 'make test    run all tests, with the coverage gates'
	@echo 'make test-pythons  run the core suites on every Python from 3.11 that is found'
	@echo 'make check   formatting, lint, types, import layers'
	@echo 'make bench   measure, and say which targets are met (two minutes)'
	@echo 'make docs    run every snippet of the documentation and check its links'
	@echo 'make mutants try the tests of the core with mistakes; FILES="..." for some (minutes each)'
	@echo 'make web     build the page from openenv/webui/source; needs node 20'
	@echo 'make screenshots  take the pictures of the page that the documentation shows'
	@echo 'make upgrade  take the newest versions of all dependencies into constraints.txt'
	@echo 'make clean   remove $(VENV) and what the tools left behind'

demo: $(RUN)
	$(BIN)/openenv demo

test: $(DEV)
	$(BIN)/python -m pytest --cov -n auto --dist loadgroup --no-loadscope-reorder

test-pythons:
	.ci/test-pythons

check: $(DEV)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(DEV)
	$(BIN)/python -m benchmarks

docs: $(DEV)
	$(BIN)/python -m pytest tests/docs

web:
	cd openenv/webui/source && npm ci && npm run build --workspace page

screenshots: $(DEV)
	$(BIN)/python -m tests.webui.screenshots

# Without the old constraints, and in an environment of its own: what is no longer needed goes, too.
upgrade: | $(BIN)/python
	rm -rf $(FRESH)
	$(BIN)/python -m venv $(FRESH)
	$(FRESH)/bin/python $(PIP_INSTALL) --upgrade --editable '.[dev]'
	sed '/^[^#]/d' constraints.txt > $(FRESH)/constraints.txt
	$(FRESH)/bin/python -m pip freeze --all --exclude-editable --exclude pip \
		>> $(FRESH)/constraints.txt
	mv $(FRESH)/constraints.txt constraints.txt
	rm -rf $(FRESH)

clean:
	rm -rf $(VENV) $(VENV)-* build dist *.egg-info htmlcov .coverage .coverage.* .hypothesis \
		.mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@test -n "$(PYTHON)" || { \
		echo 'openenv needs Python 3.11 or newer, and found none on PATH.' >&2; \
		echo 'On Debian or Ubuntu: apt install python3 python3-venv' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo '$(PYTHON) cannot make virtual environments: its venv module is not installed.' >&2; \
		echo 'On Debian or Ubuntu: apt install python3-venv' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Order-only: the interpreter's own date says nothing about what is installed.
$(RUN): pyproject.toml setup.py constraints.txt | $(BIN)/python
	$(BIN)/python $(PIP_INSTALL) $(TESTED) --editable '.[cli]'
	@touch $@

$(DEV): pyproject.toml setup.py constraints.txt | $(BIN)/python
	$(BIN)/python $(PIP_INSTALL) $(TESTED) --editable '.[dev]'
	@touch $(RUN) $@

# Opt-in, and in an environment of its own: nothing else needs cosmic-ray.
MUTANTS := .venv-mutants

.PHONY: mutants

mutants: $(DEV) $(MUTANTS)/bin/cosmic-ray
	$(BIN)/python -m tests.mutants $(FILES)

$(MUTANTS)/bin/cosmic-ray:
	$(PYTHON) -m venv $(MUTANTS)
	$(MUTANTS)/bin/python -m pip install --quiet --disable-pip-version-check 'cosmic-ray>=8.4'
	@touch $@
