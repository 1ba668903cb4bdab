# Two commands are enough: `make tmaze` trains a memory, `make test` runs the tests. Each sets up .venv by itself, once.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
export WANDB_SILENT ?= true
# pip leaves compiling to the first import of each module. Where that must not be kept, every process compiles all of torch
# and Lightning again, some 15 seconds of a processor.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup tmaze tmaze-agent test test-all lint wheel docs notebooks release constraints mutation versions bench pictures clean
.DEFAULT_GOAL := setup

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) is not here; give another: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

tmaze: setup
	$(BIN)/memup fit --config conf/tmaze.yaml

# An agent in two phases: a memory, then a policy on it; then it plays 200 episodes.
tmaze-agent: setup
	$(BIN)/memup fit --config conf/tmaze.yaml
	$(BIN)/memup fit --config conf/tmaze_ppo.yaml
	$(BIN)/memup test --config conf/tmaze_ppo.yaml --ckpt_path last

# Tests run in half as many processes again as there are cores (tests/conftest.py); each computes with one thread.
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal

test: setup
	$(PYTEST) -m "not learning and not slow"

# The rest as well: trainings until something is learned, kills, DDP, long streams.
test-all: setup
	$(PYTEST)

# Breaks central functions in turn; the tests must notice each.
mutation: setup
	$(BIN)/python -m tests.mutation_check

# Python 3.11 to 3.13, lowest and newest dependencies, in environments of their own.
versions:
	$(PYTHON) tools/check_versions.py

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

# The package as a user gets it: a wheel, then an editable install, in an empty environment, away from the checkout and in
# a folder where the user has packages named callbacks and datamodules.
wheel: setup
	$(BIN)/python tools/release.py --borrow

# The documentation site, in site/: strict, without the network. Look at it: python -m http.server --directory site
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build

# The notebooks again, with what they print and draw: some minutes.
notebooks: setup
	$(BIN)/pip --quiet --disable-pip-version-check install --constraint constraints.txt ipykernel nbclient
	$(BIN)/python -m tools.site.notebooks

# What `wheel` does; then a tag.
release: setup
	$(BIN)/python tools/release.py --tag

# constraints.txt again, after a change of the dependencies: what is pinned stays, unless UPGRADE=--upgrade.
constraints:
	@set -e; away=$$(mktemp -d); trap 'rm -rf "$$away"' EXIT; \
	$(PYTHON) -m venv "$$away" && "$$away/bin/pip" --quiet --disable-pip-version-check install uv; \
	"$$away/bin/uv" pip compile --quiet --universal --python-version 3.11 --all-extras --no-annotate $(UPGRADE) \
	  --custom-compile-command "make constraints" --output-file constraints.txt pyproject.toml

# The pictures in README and docs.
pictures: setup
	@set -e; root=$$(pwd); away=$$(mktemp -d); trap 'rm -rf "$$away"' EXIT; cd "$$away"; \
	WANDB_MODE=offline "$$root/$(BIN)/memup" fit --config "$$root/conf/tmaze.yaml" \
	  --trainer.val_check_interval=50; \
	cp runs/tmaze/version_0/learning_curve.png runs/tmaze/version_0/memory.png "$$root/docs/images/"
	$(BIN)/python -m tools.pictures.maze
	$(BIN)/python -m tools.pictures.measured
	$(BIN)/python -m tools.pictures.figures
	$(BIN)/python -m tools.pictures.layers

# Every benchmark, one after another: some hours.
bench: setup
	$(BIN)/python -m benchmarks.tmaze --json benchmarks/results/tmaze.json
	$(BIN)/python -m benchmarks.overhead --threads 1 --json benchmarks/results/overhead.json
	$(BIN)/python -m benchmarks.million --json benchmarks/results/million.json
	$(BIN)/python -m benchmarks.replay --seeds 1 --json benchmarks/results/replay.json --picture docs/images/replay.png
	$(BIN)/python -m benchmarks.drift --seeds 1 --threads 2 --json benchmarks/results/drift.json --picture docs/images/drift.png
	$(BIN)/python -m benchmarks.comparison --threads 1 --json benchmarks/results/comparison.json \
	  --picture docs/images/comparison.png
	$(BIN)/python -m benchmarks.online_gradients --seeds 1 --threads 1 --json benchmarks/results/online_gradients.json
	$(BIN)/python -m benchmarks.stream --json benchmarks/results/stream.json
	$(BIN)/python -m benchmarks.refresh --threads 1 --json benchmarks/results/refresh.json
	$(BIN)/python -m benchmarks.start --threads 1 --json benchmarks/results/start.json
	$(BIN)/python -m benchmarks.resume --json benchmarks/results/resume.json
	$(BIN)/python -m benchmarks.noise --threads 1 --json benchmarks/results/noise.json --picture docs/images/noise.png
	$(BIN)/python -m benchmarks.memories --threads 1 --json benchmarks/results/memories.json
	$(BIN)/python -m benchmarks.interference --lengths 1000 --threads 1 --json benchmarks/results/interference.json
	$(BIN)/python -m benchmarks.interference --cores LSTM GRU MinGRU SRNN AMRL --lengths 100000 --threads 1 --json benchmarks/results/interference.json
	$(BIN)/python -m benchmarks.tasks --threads 1 --json benchmarks/results/tasks.json
	$(BIN)/python -m benchmarks.tasks --ablation --seeds 1 --threads 1 --json benchmarks/results/ablation.json
	$(BIN)/python -m benchmarks.readme --json benchmarks/results/readme.json
	$(BIN)/python -m benchmarks.zoo --updates 12000 --json benchmarks/results/zoo.json
	$(BIN)/python -m benchmarks.zoo.ablation --seeds 1 --json benchmarks/results/zoo_ablation.json
	$(BIN)/python -m benchmarks.defaults --only tmaze --json benchmarks/results/defaults.json
	$(BIN)/python -m benchmarks.defaults --only tmaze_noise tmaze_1m tmaze_random_hint --seeds 1 --json benchmarks/results/defaults.json
	$(BIN)/python -m benchmarks.rollouts --json benchmarks/results/rollouts.json
	$(BIN)/python -m benchmarks.serving --json benchmarks/results/serving.json
	$(BIN)/python -m benchmarks.transformers --seeds 1 --json benchmarks/results/transformers.json
	$(BIN)/python -m benchmarks.tmaze_agents --json benchmarks/results/tmaze_agents.json
	$(BIN)/python -m benchmarks.passive_tmaze --threads 1 --json benchmarks/results/passive_tmaze.json
	$(BIN)/python -m benchmarks.frozen_memory --seeds 1 --json benchmarks/results/frozen_memory.json
	$(BIN)/python -m benchmarks.two_colors_env --json benchmarks/results/two_colors_env.json
	$(BIN)/python -m benchmarks.two_colors_view --json benchmarks/results/two_colors_view.json
	$(BIN)/python -m benchmarks.two_colors --seeds 1 --json benchmarks/results/two_colors.json
	$(BIN)/python -m benchmarks.two_colors_agents --seeds 1 2 --json benchmarks/results/two_colors_agents.json \
	  --picture docs/images/two_colors_agents.png
	$(BIN)/python -m tools.site.results

clean:
	rm -rf $(VENV) dist build .pytest_cache .hypothesis .mypy_cache .ruff_cache
