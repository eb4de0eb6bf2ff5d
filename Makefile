# `make demo`, `make test` and `make test-slow`. Each sets up .venv first, once.
PYTHON ?= python3
VENV := .venv
# Processes of tests: many wait for Ray to start, so four of them keep two cores busy.
PROCESSES ?= 4
BIN := $(VENV)/bin
MLFLOW := .venv-mlflow
# uv installs in seconds what pip takes minutes for; pip does it where there is no uv.
INSTALL := $(if $(shell command -v uv),uv pip install --python $(BIN)/python,$(BIN)/python -m pip install --disable-pip-version-check)
INSTALL_SERVER := $(subst $(BIN),$(MLFLOW)/bin,$(INSTALL))
# A file of tests at a time, in the order of tests/conftest.py: the longest first.
PYTEST := $(BIN)/python -m pytest -n $(PROCESSES) --dist loadfile --no-loadscope-reorder --durations 10

.PHONY: demo test test-slow types pytest setup

demo: setup
	$(BIN)/python -m search.run spaces/quickstart.yaml --name demo-$$(date +%Y%m%d-%H%M%S)

test: setup
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(MAKE) --jobs 2 types pytest

test-slow: setup $(MLFLOW)/bin/mlflow
	SIAMSEARCH_MLFLOW=$(abspath $(MLFLOW))/bin/mlflow $(PYTEST) -m slow

# MLflow's server asks for an older pyarrow than the search, so it is a process from another environment.
$(MLFLOW)/bin/mlflow: requirements.txt | setup
	$(PYTHON) -m venv $(MLFLOW)
	$(INSTALL_SERVER) --quiet mlflow==$$(sed -n 's/^mlflow-skinny==//p' requirements.txt)
	touch $@

types: setup
	$(BIN)/mypy

pytest: setup
	$(PYTEST) -m "not slow"

setup: $(VENV)/installed

# The stamp is written last: an installation that was cut off is done again.
$(VENV)/installed: pyproject.toml requirements.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else "Python 3.11 to 3.13 is needed, this is %d.%d; try: make PYTHON=python3.12 ..." % v)'
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --quiet --requirement requirements.txt
	$(INSTALL) --quiet --no-deps --editable .
	touch $@
