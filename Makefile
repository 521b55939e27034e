# `make` lists the targets. Every target that needs packages installs them first, into .venv.

EXP     ?=
NAME    ?=
BENCH   ?= update
CORPUS  ?=
STUDY   ?=
ALGOS   ?=
SEEDS   ?=
ARGS    ?=
EXTRAS  ?= dev
WORKERS ?= 2
PYTHON  ?= python3

VENV   := .venv
PY     := $(VENV)/bin/python
STAMP  := $(VENV)/.installed-$(EXTRAS)
DOCS   := NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs
PYTEST := $(PY) -m pytest -n $(WORKERS) --dist loadfile
IS_NEW := import sys; sys.exit(sys.version_info < (3, 12))
CACHES := __pycache__ .pytest_cache .mypy_cache .ruff_cache .hypothesis .ipynb_checkpoints

.DEFAULT_GOAL := help
.PHONY: help setup run evaluate render export robustness sweep tune compare bench study decoder new-env test test-fast test-slow check docs docs-serve dist clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## install into .venv, with uv if there is one (EXTRAS=dev,cuda for a GPU)

run: $(STAMP) ## train: EXP=<name> (default multigoal_amortized; EXP=help lists them) ARGS="..."
ifeq ($(EXP),help)
	$(PY) -m experiments list
else
	$(PY) -m experiments run $(EXP) $(ARGS)
endif

evaluate: $(STAMP) ## play a saved run again: ARGS="runs/<experiment>/<id> ..."
	$(PY) -m experiments evaluate $(ARGS)

render: $(STAMP) ## draw episodes of a saved run: ARGS="runs/<experiment>/<id> --episodes 4"
	$(PY) -m experiments render $(ARGS)

export: $(STAMP) ## write a policy for a robot: ARGS="runs/<experiment>/<id> --to onnx" (or jax, numpy)
	$(PY) -m experiments export $(ARGS)

robustness: $(STAMP) ## play a saved run on maps with random walls added: ARGS="runs/<experiment>/<id>"
	$(PY) -m experiments robustness $(ARGS)

sweep: $(STAMP) ## train seeds x a grid at once: EXP=<name> ARGS="--grid.beta 0.5 0.7 --seeds 4"
	$(PY) -m experiments sweep $(EXP) $(ARGS)

tune: $(STAMP) ## search hyperparameters: EXP=<name> ARGS="--trials 64 --search.beta 0.4 0.8" (extra tune)
	$(PY) -m experiments tune $(EXP) $(ARGS)

compare: $(STAMP) ## train methods side by side: EXP=multigoal ALGOS="amortized sac" SEEDS=5 ARGS="..."
	$(PY) -m experiments compare $(EXP) $(if $(ALGOS),--algos $(ALGOS)) $(if $(SEEDS),--seeds $(SEEDS)) $(ARGS)

bench: $(STAMP) ## measure throughput: BENCH=update ARGS="..."
	$(PY) -m experiments bench $(BENCH) $(ARGS)

study: $(STAMP) ## train a study or go on with it: STUDY=<name> ARGS=status; bare, print kept tables
	$(PY) -m experiments study $(STUDY) $(ARGS)

decoder: $(STAMP) ## train a level decoder: CORPUS=<folder of text levels> ARGS="--seed 0 --steps 3000"
	$(PY) -m experiments decoder $(if $(CORPUS),--corpus $(CORPUS)) $(ARGS)

new-env: $(STAMP) ## write a file to begin an environment of your own with: NAME=my_task
	$(PY) -m experiments new-env $(NAME) $(ARGS)

# Tests wait for compilers far longer than for what they compile.
test test-fast: export XLA_FLAGS ?= --xla_backend_optimization_level=0

test: $(STAMP) ## every test that is not marked slow (ARGS="-k name" for some, WORKERS=8 for more cores)
	$(PYTEST) -m "not slow" $(ARGS)

test-fast: $(STAMP) ## neither slow nor heavy tests
	$(PYTEST) -m "not slow and not heavy" $(ARGS)

test-slow: $(STAMP) ## only the slow tests: does it learn
	$(PYTEST) -m slow $(ARGS)

check: $(STAMP) ## format, lint, types
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy

dist: $(STAMP) ## build the sdist and, from it, the wheel, into dist/
	$(PY) -m build

docs: $(STAMP) ## build the site into build/site, every warning an error
	$(DOCS) build --strict

docs-serve: $(STAMP) ## show the site, and build it again when a page changes
	$(DOCS) serve

clean: ## delete caches, build/, dist/ and *.egg-info; keeps runs/ and .venv/
	find . \( -name .git -o -path ./runs -o -path ./$(VENV) \) -prune -o -type d \
	    \( $(foreach cache,$(CACHES),-name $(cache) -o) -name '*.egg-info' \) -prune -exec rm -rf {} +
	rm -rf build dist

# A second call does nothing: the stamp is as new as the two files that say what to install.
$(STAMP): pyproject.toml constraints.txt | $(PY)
	@echo "Installing into $(VENV) (some minutes the first time)"
	@if command -v uv >/dev/null 2>&1; then \
	    uv pip install -q --python $(PY) -c constraints.txt -e '.[$(EXTRAS)]'; \
	else \
	    $(PY) -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'; \
	fi
	@touch $@

$(PY):
	@if command -v uv >/dev/null 2>&1; then \
	    uv venv -q --seed $(VENV) && exit 0; exit 2; \
	fi; \
	for python in $(PYTHON) python3 python3.12 python3.13 python3.14; do \
	    if $$python -c '$(IS_NEW)' 2>/dev/null; then \
	        $$python -m venv $(VENV) && exit 0; \
	        rm -rf $(VENV); exit 2; \
	    fi; \
	done; \
	echo "Python 3.12 or newer not found: install it (or uv), or name it: make setup PYTHON=/path/to/python3.12"; \
	exit 2
