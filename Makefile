# make demo, make test: each sets up .venv on its first call, then runs.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
PIP    := $(BIN)/python -m pip --disable-pip-version-check

# What `make demo` tunes: a 3x3 convolution with bias, batch norm and ReLU.
DEMO_WORKLOAD ?= conv2d_nhwc_bn_relu 1 28 28 128 128 3 1 1
DEMO_TRIALS   ?= 64
DEMO_OUTPUT   ?= demo
DEMO_MEASURE  ?= --round 16 --population 1024 --repeat 3 --min-repeat-ms 20 --build-timeout 12 --run-timeout 5

NATIVE := $(wildcard CMakeLists.txt native/*.cc native/*.cpp native/*.h native/*.hpp native/*/*.cc native/*/*.h)

.DEFAULT_GOAL := help
.PHONY: help install demo test lint clean

help: ## List the targets
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/'

install: $(STAMP) ## Make .venv and install what is pinned

$(STAMP): pyproject.toml constraints.txt $(NATIVE)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
		echo "tvm-gnn-cost needs Python 3.10 or later, and $(PYTHON) is: $$($(PYTHON) --version 2>&1)."; \
		echo "Name another one: make PYTHON=python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --constraint constraints.txt cmake nanobind ninja scikit-build-core
	$(PIP) install --quiet --constraint constraints.txt --no-build-isolation --editable '.[tvm,plots,dev]'
	@touch $(STAMP)

demo: $(STAMP) ## Tune a convolution with both models, side by side (minutes)
	$(BIN)/tvm-gnn-cost compare $(DEMO_WORKLOAD) --trials $(DEMO_TRIALS) $(DEMO_MEASURE) --output $(DEMO_OUTPUT) --restart

test: $(STAMP) ## Run the tests
	$(BIN)/python -m pytest

lint: $(STAMP) ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean: ## Remove .venv and what builds and runs left
	rm -rf $(VENV) build dist demo .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
