# make demo, make test: each sets up what it needs on its first call, then runs.
# .venv has TVM 0.19 (auto_scheduler and MetaSchedule), .venv-apache-tvm today's apache-tvm (MetaSchedule).
PYTHON ?= python3
VENV   ?= .venv
EXTRAS ?= tvm,onnx,plots,tensorboard,wandb,mlflow,dev
IN_APACHE_TVM := VENV=.venv-apache-tvm EXTRAS=apache-tvm,xgboost,plots,dev
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
PIP    := $(BIN)/python -m pip --disable-pip-version-check

# A process a core (tests/conftest.py says what each gets).
IN_PARALLEL ?= --numprocesses logical

# `make sanitize` reads so many states, or each log's once if that is more.
SANITIZE_STATES ?= 1000

# What `make demo` tunes: a 3x3 convolution with bias, batch norm and ReLU.
DEMO_WORKLOAD ?= conv2d_nhwc_bn_relu 1 28 28 128 128 3 1 1
DEMO_TRIALS   ?= 64
DEMO_OUTPUT   ?= demo
DEMO_SCHEDULER ?= ansor
DEMO_MEASURE  ?= --round 16 --population 1024 --repeat 3 --min-repeat-ms 20 --build-timeout 12 --run-timeout 5

NATIVE := CMakeLists.txt $(wildcard $(foreach ext,cc cpp h hpp,native/*.$(ext) native/*/*.$(ext)))

.DEFAULT_GOAL := help
.PHONY: help install docs demo demo-metaschedule test test-fast test-apache-tvm test-without-tvm run-tests lint format sanitize run-sanitized clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/'

install: $(STAMP) ## Make .venv and install what is pinned

$(STAMP): pyproject.toml constraints.txt $(NATIVE)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
		echo "tvm-gnn-cost needs Python 3.10 or later, and $(PYTHON) is: $$($(PYTHON) --version 2>&1)."; \
		echo "Name another one: make PYTHON=python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --constraint constraints.txt cmake nanobind ninja scikit-build-core
	$(PIP) install --quiet --constraint constraints.txt --no-build-isolation \
		--config-settings=build-dir='build/$(VENV)/{wheel_tag}' --editable '.[$(EXTRAS)]'
	@touch $(STAMP)

demo: $(STAMP) ## Tune a convolution with both models, side by side (minutes)
	$(BIN)/tvm-gnn-cost compare $(DEMO_WORKLOAD) --scheduler $(DEMO_SCHEDULER) --trials $(DEMO_TRIALS) $(DEMO_MEASURE) \
		--output $(DEMO_OUTPUT) --restart

demo-metaschedule: ## The same with MetaSchedule and today's apache-tvm (.venv-apache-tvm)
	$(MAKE) $(IN_APACHE_TVM) DEMO_SCHEDULER=metaschedule DEMO_OUTPUT=demo-metaschedule demo

test: ## Run the tests with TVM 0.19, and those that need a TVM with apache-tvm, too
	$(MAKE) run-tests
	$(MAKE) test-apache-tvm

docs: $(STAMP) ## Build the documentation, strictly, into build/site
	$(PIP) install --quiet --constraint constraints.txt mkdocs mkdocs-material 'mkdocstrings[python]'
	$(BIN)/python -m mkdocs build --strict --quiet

test-apache-tvm: ## Run the tests that need a TVM with apache-tvm (.venv-apache-tvm)
	$(MAKE) $(IN_APACHE_TVM) TESTS='-m tvm' run-tests

test-without-tvm: ## Run the tests that need no TVM, where none is installed (.venv-without-tvm)
	$(MAKE) VENV=.venv-without-tvm EXTRAS=xgboost,plots,dev run-tests

test-fast: TESTS := -m "not slow"
test-fast: run-tests ## Run the tests that take no time, with TVM 0.19

run-tests: $(STAMP)
	$(BIN)/python -m pytest $(IN_PARALLEL) $(TESTS)

lint: $(STAMP) ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP) ## Put the code into its form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

sanitize: ## Run the extension under the address and undefined-behaviour sanitizers, with both TVMs (minutes)
	$(MAKE) run-sanitized SOAK='benchmarks/memory_soak.py --states $(SANITIZE_STATES)'
	$(MAKE) $(IN_APACHE_TVM) run-sanitized SOAK='benchmarks/tir_memory_soak.py --programs $(SANITIZE_STATES)'

# In a copy of the package, with -S: else the editable install's import hook would put the extension in .venv first.
run-sanitized: $(STAMP)
	$(BIN)/cmake -S . -B build/asan/$(VENV) -G Ninja -DTVM_GNN_COST_SANITIZE=ON \
		-DPython_EXECUTABLE=$(abspath $(BIN)/python) -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN)/ninja)
	$(BIN)/cmake --build build/asan/$(VENV)
	rm -rf build/asan/package
	mkdir build/asan/package
	cp -r tvm_gnn_cost build/asan/package
	cp build/asan/$(VENV)/_native*.so build/asan/package/tvm_gnn_cost
	ASAN_OPTIONS=detect_leaks=0:quarantine_size_mb=8 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
		LD_PRELOAD="$$($(CC) -print-file-name=libasan.so) $$($(CC) -print-file-name=libstdc++.so)" \
		PYTHONPATH="build/asan/package:$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
		$(BIN)/python -S $(SOAK)

clean: ## Remove .venv and what builds and runs left
	rm -rf $(VENV) .venv-apache-tvm .venv-without-tvm build dist demo demo-metaschedule
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
