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

# uv where a release is present that knows dependency groups, pip otherwise.
ifneq ($(shell uv pip install --help 2>/dev/null | grep -e --group),)
CREATE := uv venv --quiet --allow-existing --python $(PYTHON) $(VENV)
PIP    := uv pip install --quiet --python $(BIN)/python --compile-bytecode
else
CREATE := $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile
# Bytecode on all cores, which pip compiles on one; some packages ship templates that are no Python.
BYTECODE := $(BIN)/python -m compileall -q -j 0 -x '/tests/' $(abspath $(VENV))/lib > /dev/null 2>&1 || true
endif

$(STAMP): pyproject.toml deployments/constraints.txt
	$(CREATE)
	$(PIP) --constraint deployments/constraints.txt --editable .
	@$(BYTECODE)
	@touch $@

# All in one, so that what belongs together is resolved once.
$(DEV): pyproject.toml deployments/constraints.txt
	$(CREATE)
	$(PIP) --constraint deployments/constraints.txt --editable . --group dev
	@$(BYTECODE)
	@touch $(STAMP) $@

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
	$(BIN)/python -m pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder --cov=larun --cov-report=term --cov-fail-under=85 -p no:cacheprovider

bench: $(DEV)
	$(BIN)/python -m tests.benchmarks.search --json
	$(BIN)/python -m tests.benchmarks.detrend --json
	$(BIN)/python -m tests.benchmarks.recovery --json
	$(BIN)/python -m tests.benchmarks.sweep --json
	$(BIN)/python -m tests.benchmarks.stages --json
	$(BIN)/python -m tests.benchmarks.vetting --json
	$(BIN)/python -m tests.benchmarks.triage --json
	$(BIN)/python -m tests.benchmarks.network --json
	$(BIN)/python -m tests.benchmarks.training --json
	$(BIN)/python -m tests.benchmarks.sixclass --json
	$(BIN)/python -m tests.benchmarks.storage --json
	$(BIN)/python -m tests.benchmarks.ingest --json

schema: install
	$(BIN)/python -m larun.schema > docs/schema.md
	$(BIN)/python -m larun.config > data/larun.toml

clean:
	rm -rf $(VENV) $(DEMO)
