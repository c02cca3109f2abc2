# Everything happens in a local virtual environment; nothing else is needed than python3 and make.
VENV   := .venv
PYTHON ?= python3
BIN    := $(VENV)/bin
DEMO   := survey
STAMP  := $(VENV)/.installed
DEV    := $(VENV)/.installed-dev

export PYTHONUTF8 := 1

.PHONY: install demo test lint format bench schema clean

install: $(STAMP)

$(STAMP): pyproject.toml deployments/constraints.txt
	@if command -v uv >/dev/null 2>&1; then \
	    uv venv --quiet --allow-existing --python $(PYTHON) $(VENV) && \
	    uv pip install --quiet --python $(BIN)/python --compile-bytecode \
	        --constraint deployments/constraints.txt --editable . ; \
	else \
	    $(PYTHON) -m venv $(VENV) && \
	    $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	        --constraint deployments/constraints.txt --editable . ; \
	fi
	@touch $@

# `--group` is known to uv and to pip from 25.1 on, so the venv's own pip is brought there first.
$(DEV): $(STAMP)
	@if command -v uv >/dev/null 2>&1; then \
	    uv pip install --quiet --python $(BIN)/python --constraint deployments/constraints.txt --group dev ; \
	else \
	    $(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1' && \
	    $(BIN)/python -m pip install --quiet --constraint deployments/constraints.txt --group dev ; \
	fi
	@touch $@

demo: install
	$(BIN)/larun demo --root $(DEMO)

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

format: $(DEV)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: lint
	$(BIN)/python -m pytest --cov=larun --cov-report=term --cov-fail-under=85 -p no:cacheprovider

bench: $(DEV)
	$(BIN)/python -m tests.benchmarks.search --json
	$(BIN)/python -m tests.benchmarks.stages --json

schema: install
	$(BIN)/python -m larun.schema > docs/schema.md
	$(BIN)/python -m larun.config > data/larun.toml

clean:
	rm -rf $(VENV) $(DEMO)
