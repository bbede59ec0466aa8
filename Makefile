# Everything is done in .venv, which is made from $(PYTHON) on first use. `make help` lists the targets.
PYTHON ?= python3
JOBS ?= 2
GRAPHS ?= 1000

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
# One stamp an installation: it is newer than pyproject.toml for as long as that installation is up to date.
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev

.DEFAULT_GOAL := help
.PHONY: help demo test lint format types golden docs bench bench-gpu fuzz clean

help: ## list the targets (PYTHON=python3.12 picks the interpreter)
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1@\2/p' $(firstword $(MAKEFILE_LIST)) | \
	  while IFS=@ read -r target text; do printf '  make %-9s %s\n' "$$target" "$$text"; done

demo: $(INSTALLED) ## train the guide's softmax model on MNIST and print its accuracy on the test set
	@$(BIN)/python examples/mnist_softmax.py

test: lint types ## format, lint, types and every test that needs no GPU
	@$(BIN)/python -m pytest -n $(JOBS) -m "not gpu"

lint: $(INSTALLED_DEV) ## ruff: rules and format, changing nothing
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: $(INSTALLED_DEV) ## ruff: mend what it can and format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# mypy cannot follow an editable install whose folders are mapped, so it reads a copy installed as a user would have it.
types: $(INSTALLED_DEV) ## mypy --strict on the installed package
	@rm -rf build
	@$(PIP) --no-deps --target build/installed .
	@cd build && MYPYPATH=installed ../$(BIN)/mypy --strict --config-file ../pyproject.toml

golden: $(INSTALLED_DEV) ## rewrite the golden files of generated source; look at the diff afterwards
	@$(BIN)/python -m pytest tests/golden --update-golden

docs: $(INSTALLED_DEV) ## write docs/api.md: what there is of the API, symbol by symbol
	@$(BIN)/python -m docs.api_table

bench: $(INSTALLED_DEV) ## measure flowc beside its peers
	@$(BIN)/python -m bench.run

bench-gpu: $(INSTALLED_DEV) ## measure flowc on a GPU beside JAX and PyTorch
	@$(BIN)/python -m bench.gpu

fuzz: $(INSTALLED_DEV) ## compare GRAPHS=1000 random graphs with the reference executor
	@$(BIN)/python -m tests.fuzz --graphs $(GRAPHS)
	@$(BIN)/python -m tests.fuzz.control_flow --graphs $(GRAPHS)

clean: ## remove .venv and everything that was built
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("flowc needs Python 3.11 or newer, this is " + sys.version.split()[0] + \
	  ": say which with make PYTHON=/path/to/python" if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv $(VENV)

$(INSTALLED): pyproject.toml | $(BIN)/python
	@$(PIP) --editable .
	@touch $@

$(INSTALLED_DEV): pyproject.toml | $(BIN)/python
	@$(PIP) --editable '.[dev]'
	@touch $@ $(INSTALLED)
