# `make demo` and `make test` need only Python 3.11 or newer, and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help env demo serve test soak check bench bench-quality clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 15

env: $(VENV)/.complete ## create .venv with everything the tests need

$(VENV)/.server: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is older than 3.11: make PYTHON=python3.11 …" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { [ "$$(id -u)" = 0 ] && apt-get update -qq && \
		apt-get install -y -qq python3-venv && $(PYTHON) -m venv $(VENV); }
	$(INSTALL) -e .
	@touch $@

$(VENV)/.complete: $(VENV)/.server
	$(INSTALL) -e '.[test]'
	@touch $@

demo: $(VENV)/.server ## start a server and two trainers that search a minimum
	$(BIN)/optunapi demo

serve: $(VENV)/.server ## the server on port 8000, with auto-reload
	$(BIN)/optunapi serve --reload

test: env ## all tests
	$(BIN)/python -m pytest -n auto

soak: env ## all tests with larger numbers
	OPTUNAPI_SOAK=1 $(BIN)/python -m pytest -n auto --timeout=3600

check: env ## ruff, mypy, import-linter, bandit
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit -q -c pyproject.toml -r optunapi

bench: env ## measure speed and memory; prints ratios, floors and goals
	$(INSTALL) -e '.[bench]'
	$(BIN)/python -m tests.benchmarks $(ARGS)

bench-quality: env ## compare the search with Optuna's default, in half an hour
	$(BIN)/python -m tests.benchmarks.quality --json docs/figures/quality.json \
		--figure docs/figures/quality.svg --document docs/samplers.md $(ARGS)

clean: ## remove the environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
