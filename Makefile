# Every target makes what it needs first. Without make: CONTRIBUTING.md has the `python -m` form of each.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test check soak bench format clean

help:           ## what there is to make
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 12

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "minirun needs Python 3.11 or newer and $(PYTHON) is %d.%d; name a newer one: make PYTHON=python3.12 ..." % sys.version_info[:2])'
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo 'The venv module is missing: on Debian and Ubuntu, apt-get install python3-venv'; exit 1; }
	@touch $@

$(VENV)/.core: $(VENV)/.made pyproject.toml constraints.txt
	@echo 'installing minirun into $(VENV) ...'
	@PIP_CONSTRAINT=constraints.txt $(PIP) --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	@echo 'installing the test tools into $(VENV) ...'
	@PIP_CONSTRAINT=constraints.txt $(PIP) --editable '.[dev]'
	@touch $@

demo: $(VENV)/.core     ## the main job in under a minute: a Service goes 0 → N → 0
	@$(BIN)/minirun demo

test: $(VENV)/.dev      ## all tests that fit in five minutes
	@$(BIN)/python -m pytest -m 'not soak' -n 2 --dist loadfile

check: $(VENV)/.dev     ## format, lint, types, layers, and the line budget
	@$(BIN)/ruff format --check reference_impl grader solutions .ci
	@$(BIN)/ruff check reference_impl grader solutions .ci
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python .ci/budget.py

soak: $(VENV)/.dev      ## the tests that take longer
	@$(BIN)/python -m pytest -m soak --timeout 1200

bench: $(VENV)/.dev     ## speed and memory, with yardsticks from the same run
	@$(BIN)/minirun bench

format: $(VENV)/.dev    ## rewrite the code in the house format
	@$(BIN)/ruff format reference_impl grader solutions .ci
	@$(BIN)/ruff check --fix reference_impl grader solutions .ci

clean:          ## away with the environment and the caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build
