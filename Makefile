# Two commands are enough: `make tmaze` trains a memory, `make test` runs the tests. Each sets up .venv by itself, once.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
export WANDB_SILENT ?= true

.PHONY: setup tmaze test lint bench clean
.DEFAULT_GOAL := setup

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) is not here; give another: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

tmaze: setup
	$(BIN)/python -m memup_lightning fit --config conf/tmaze.yaml

test: setup
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: setup
	$(BIN)/python -m benchmarks.tmaze --json benchmarks/results/tmaze.json
	$(BIN)/python -m benchmarks.overhead --json benchmarks/results/overhead.json

clean:
	rm -rf $(VENV) dist build .pytest_cache .hypothesis .mypy_cache .ruff_cache
