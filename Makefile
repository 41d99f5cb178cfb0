# Needs only make and Python 3.11 or newer. `make help` lists the targets.
#
# Each interpreter has its own virtual environment: .venv for python3, .venv-python3.12 for
# `make test PYTHON=python3.12`. A stamp file in it says what has been installed.

PYTHON ?= python3
DATA ?=
JOBS ?= auto
CELLS ?=
THREADS ?= 2
SECONDS ?= 600

VENV := $(if $(filter python3 python,$(PYTHON)),.venv,.venv-$(notdir $(PYTHON)))
BIN := $(VENV)/bin
BENCH := .venv-bench
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev
INSTALLED_BENCH := $(BENCH)/.installed
INSTALLED_DOCS := $(VENV)/.installed-docs
INSTALLED_NOTEBOOKS := $(VENV)/.installed-notebooks
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable
PYTEST := $(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help demo test test-all fuzz lint format notebooks docs pictures coverage bench bench-million bench-passes bench-wnn bench-markers bench-memory bench-kernels bench-scaling clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22
	@echo "PYTHON=python3.12 takes another interpreter than python3; DATA=file is for demo, CELLS=number for bench."

$(BIN)/python:
	@python=$$(.ci/find-python $(PYTHON)) && echo "Making $(VENV) with $$python" && $$python -m venv $(VENV)

$(INSTALLED): pyproject.toml | $(BIN)/python
	@echo "Installing lazymu into $(VENV); the first time takes a minute or two"
	@$(PIP_INSTALL) ".[mofa]"
	@touch $@

$(INSTALLED_DEV): pyproject.toml | $(BIN)/python
	@echo "Installing lazymu and its developers' tools into $(VENV); the first time takes a minute or two"
	@$(PIP_INSTALL) ".[dev]"
	@touch $@ $(INSTALLED)

$(INSTALLED_BENCH): pyproject.toml
	@test -x $(BENCH)/bin/python || { python=$$(.ci/find-python $(PYTHON)) && $$python -m venv $(BENCH); }
	@echo "Installing lazymu and the packages it is compared with into $(BENCH); this takes some minutes"
	@$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[bench]"
	@touch $@

$(INSTALLED_NOTEBOOKS): pyproject.toml | $(BIN)/python
	@echo "Installing lazymu and what runs notebooks into $(VENV)"
	@$(PIP_INSTALL) ".[mofa,notebooks]"
	@touch $@ $(INSTALLED)

$(INSTALLED_DOCS): pyproject.toml | $(BIN)/python
	@echo "Installing lazymu and what builds its pages into $(VENV)"
	@$(PIP_INSTALL) ".[docs]"
	@touch $@

demo: $(INSTALLED)  ## run the whole workflow on data it writes itself, or on DATA=file
	$(BIN)/lazymu demo $(if $(DATA),"$(DATA)")

test: $(INSTALLED_DEV)  ## run the tests
	$(PYTEST) -m "not slow"

test-all: $(INSTALLED_DEV)  ## run the slow tests too
	$(PYTEST)

fuzz: $(INSTALLED_DEV)  ## read damaged files of every kind for SECONDS=600
	$(BIN)/python -m tests.fuzzing --seconds $(SECONDS)

lint: $(INSTALLED_DEV)  ## check style, format and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(INSTALLED_DEV)  ## format, and fix what can be fixed
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

notebooks: $(INSTALLED_NOTEBOOKS)  ## run the notebooks and keep what they show
	cd notebooks && PYTHONWARNINGS="ignore:IProgress not found,ignore:From 0.4" \
	    ../$(BIN)/jupyter execute --inplace *.ipynb

docs: $(INSTALLED_DOCS)  ## build the pages of all functions into docs/_build
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet docs docs/_build
	@echo "docs/_build/index.html"

pictures: $(INSTALLED)  ## draw the README's picture of a result anew
	$(BIN)/python -m docs.pictures

coverage: $(INSTALLED_DEV)  ## run the tests and report the lines that none of them reaches
	$(PYTEST) -m "not slow" --cov --cov-report=term --cov-report=html

bench: $(INSTALLED_BENCH)  ## measure beside the peers, at CELLS=20000 or at 20 k and 100 k
	$(BENCH)/bin/python -m benchmarks.compare --threads $(THREADS) $(if $(CELLS),--cells $(CELLS))

bench-million: $(INSTALLED_BENCH)  ## run the workflow on a million cells, or CELLS=5000
	$(BENCH)/bin/python -m benchmarks.million --threads $(THREADS) $(if $(CELLS),--cells $(CELLS))

bench-passes: $(INSTALLED_BENCH)  ## measure passes beside reading alone, and importing
	$(BENCH)/bin/python -m benchmarks.bench_passes --threads $(THREADS) $(if $(CELLS),--cells $(CELLS))

bench-wnn: $(INSTALLED_BENCH)  ## measure weighted neighbours: candidates, beside muon, a million cells
	$(BENCH)/bin/python -m benchmarks.bench_wnn --threads $(THREADS) $(if $(CELLS),--cells $(CELLS))

bench-markers: $(INSTALLED_BENCH)  ## measure markers, aggregates, factors, samples, single genes
	$(BENCH)/bin/python -m benchmarks.bench_markers --threads $(THREADS) $(if $(CELLS),--cells $(CELLS))

bench-memory: $(INSTALLED_BENCH)  ## measure peak memory at 100 k and 400 k cells
	$(BENCH)/bin/python -m benchmarks.bench_memory --threads $(THREADS) $(if $(CELLS),--cells $(CELLS))

bench-kernels: $(INSTALLED_BENCH)  ## measure kernels beside the roofline; codecs and chunk sizes
	$(BENCH)/bin/python -m benchmarks.bench_kernels
	$(BENCH)/bin/python -m benchmarks.bench_reading

bench-scaling: $(INSTALLED_BENCH)  ## model runs on clusters, beside passes on one and two workers
	$(BENCH)/bin/python -m benchmarks.scaling $(if $(CELLS),--cells $(CELLS))

clean:  ## remove caches, demo output and virtual environments
	rm -rf .venv .venv-* demo docs/_build docs/api.rst docs/generated build dist htmlcov .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
