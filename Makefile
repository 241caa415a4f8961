# Everything a person or a machine does here. `make demo` and `make test` set up all they need by themselves.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps
# A lock names all that is installed, so nothing is resolved: what an index offers beside it changes nothing.
CHECK := $(BIN)/python -m pip check --quiet --disable-pip-version-check
ARGS ?=

COMPILE := $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --all-build-deps --no-header \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options

SECONDS := 600
RELIABILITY := build/reliability
QUALITY := build/quality
RUNNERS := ranklens trivago rees46 furniture

.PHONY: help setup demo test check faults faults-long fuzz bench quality docs lock clean

help:
	@echo "make demo     start a shop and watch a visitor's page change"
	@echo "make test     all tests, the fault tests cut short"
	@echo "make check    style, types, import rules, house rules"
	@echo "make faults   the long tests in full: kills, full disks, flipped bits, models of the state; writes"
	@echo "              docs/reliability.md (make faults-long: what takes an hour)"
	@echo "make fuzz     fuzz the doors for SECONDS each (600)"
	@echo "make bench    measure this machine (ARGS are handed on)"
	@echo "make quality  rank real lists and serve the simulator's people, beside plain rankings; writes docs/quality.md"
	@echo "make docs     write the generated pages, and check all of them"
	@echo "make setup    only install what the others need"
	@echo "make lock     resolve the requirements anew"
	@echo "make clean    remove what the others made here"

setup: $(VENV)/.development

$(VENV)/.made:
	@"$(PYTHON)" -c 'import sys; sys.exit("Instanter needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	"$(PYTHON)" -m venv $(VENV)
	@touch $@

$(VENV)/.runtime: requirements.lock pyproject.toml | $(VENV)/.made
	$(PIP) --require-hashes -r requirements.lock
	$(PIP) --no-build-isolation -e .
	@$(CHECK)
	@touch $@

$(VENV)/.development: requirements-dev.lock pyproject.toml | $(VENV)/.made
	$(PIP) --require-hashes -r requirements-dev.lock
	$(PIP) --no-build-isolation -e .
	@$(CHECK)
	@touch $@ $(VENV)/.runtime

$(VENV)/.fuzz: requirements-fuzz.lock | $(VENV)/.made
	$(PIP) --require-hashes -r requirements-fuzz.lock
	@$(CHECK)
	@touch $@

demo: $(VENV)/.runtime
	$(BIN)/instanter demo $(ARGS)

test: $(VENV)/.development
	$(BIN)/python -m pytest -q --doctest-modules src
	$(BIN)/python -m pytest -q tests $(ARGS)

check: $(VENV)/.development
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/tidy

# The page is written whatever has failed. 5 is what pytest says when ARGS leave no test of a kind.
faults: $(VENV)/.development
	@mkdir -p $(RELIABILITY); status=0; \
	INSTANTER_FULL=1 $(BIN)/python -m pytest -m "faults or row" tests --reliability $(RELIABILITY)/faults.json $(ARGS) \
		|| [ $$? = 5 ] || status=1; \
	INSTANTER_FULL=1 $(BIN)/python -m pytest -m "not faults and not row" tests/state tests/examples \
		tests/api/test_clients.py $(ARGS) || [ $$? = 5 ] || status=1; \
	$(BIN)/python tools/reliability_page.py docs/reliability.md $(RELIABILITY)/*.json || status=1; \
	exit $$status

faults-long: $(VENV)/.development $(VENV)/.fuzz
	@mkdir -p $(RELIABILITY); status=0; \
	INSTANTER_FULL=1 INSTANTER_LONG=1 $(BIN)/python -m pytest -m long tests \
		--reliability $(RELIABILITY)/long.json $(ARGS) || [ $$? = 5 ] || status=1; \
	$(BIN)/python tests/fuzz/fuzz.py --seconds $(SECONDS) --reliability $(RELIABILITY)/fuzz.json || status=1; \
	$(BIN)/python tools/reliability_page.py docs/reliability.md $(RELIABILITY)/*.json || status=1; \
	exit $$status

fuzz: $(VENV)/.development $(VENV)/.fuzz
	$(BIN)/python tests/fuzz/fuzz.py --seconds $(SECONDS) --reliability $(RELIABILITY)/fuzz.json $(ARGS)

bench: $(VENV)/.runtime
	$(BIN)/instanter bench $(ARGS)

# The page is written whatever has failed; a run that fails leaves an empty file.
quality: $(VENV)/.development
	@mkdir -p $(QUALITY); \
	for name in $(RUNNERS); do \
		echo "$$name ..."; $(BIN)/python examples/$$name/run.py --json > $(QUALITY)/$$name.json || true; \
	done; \
	echo "positions ..."; $(BIN)/python examples/ranklens/positions.py --json > $(QUALITY)/positions.json || true; \
	$(BIN)/python tools/quality_page.py docs/quality.md $(QUALITY)/*.json

docs: $(VENV)/.development
	$(BIN)/python -m instanter.ops.reference docs/configuration.md
	$(BIN)/python -m instanter.ops.metrics docs/metrics.md
	$(BIN)/python tools/limits_page.py docs/limits.md
	$(BIN)/python tools/tour.py README.md --write
	$(BIN)/python -m pytest -q tests/tidy/test_docs.py tests/tidy/test_docs_names.py tests/tidy/test_docs_blocks.py

lock: $(VENV)/.development
	$(COMPILE) -o requirements.lock pyproject.toml
	$(COMPILE) --extra dev --extra geo -c requirements.lock -o requirements-dev.lock pyproject.toml
	$(COMPILE) --extra fuzz -c requirements-dev.lock -o requirements-fuzz.lock pyproject.toml

clean:
	rm -rf $(VENV) build dist .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
	find src -name '*.egg-info' -type d -prune -exec rm -rf {} +
