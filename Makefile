# Everything a person or a machine does here. `make demo` and `make test` set up all they need by themselves.

# The first that runs: under a version manager a name can be there and not run.
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do \
	$$name -c 'import venv' 2>/dev/null && { command -v $$name; break; }; done)
# What Python has compiled of a module is kept, also where the machine is set up not to (images often are): hundreds of
# processes are started here, and compiling all that one imports takes longer than all else of its start.
unexport PYTHONDONTWRITEBYTECODE
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

# A lock names all that is installed, build tools too. So nothing is resolved and nothing is built with what an index
# holds on the day: it can offer anything beside what the locks name. `pip check` says afterwards whether all fits.
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
LOCKED := --no-deps --require-hashes --only-binary :all:
CHECKED = @told=$$($(BIN)/python -m pip --disable-pip-version-check check) || { echo "$$told"; exit 1; }
WHEELS := build/wheels

PYTHONS := 3.12 3.13
UNITS := tests
# The parts of `make test`. Lanes run two at a time, the longest first, each in a process of its own: their tests start
# what they need in folders and on ports of their own, and what they find does not depend on what runs beside them. What
# measures time, or is wrong about a machine that others use, is ALONE and runs by itself when all lanes have ended.
ALONE := tests/api/test_admission.py tests/faults/test_r11_poison.py tests/faults/test_r14_slow_clients.py \
	tests/faults/test_r15_spike.py tests/faults/test_r16_full_house.py tests/faults/test_r23_models.py \
	tests/faults/test_r30_shutdown.py tests/faults/test_r31_chaos.py tests/faults/test_r5_full_disk.py \
	tests/faults/test_s12_rates.py tests/faults/test_s8_erasure.py tests/storefront/test_figures.py
LANE_1 := tests/faults/test_r26_simulation.py
LANE_2 := $(wildcard tests/faults/test_r28*.py tests/faults/test_r32*.py)
LANE_3 := $(filter-out $(ALONE) $(LANE_1) $(LANE_2),$(wildcard tests/faults/test_r*.py))
LANE_4 := $(filter-out $(ALONE) $(LANE_1) $(LANE_2) $(LANE_3),$(wildcard tests/faults/test_*.py))
LANE_5 := tests/ops tests/fuzz
LANE_6 := tests/api tests/clients
LANE_7 := tests/log tests/engine
LANE_8 := tests/install tests/examples
LANE_9 := tests/sim tests/tidy tests/storefront
# Rooms that are functions, for `make unit` too.
LANE_10 := tests/state tests/feedback
LANE_11 := tests/events tests/features tests/identity tests/privacy
LANE_12 := tests/models tests/decisions
LANE_13 := tests/console
LANES := 1 2 3 4 5 6 7 8 9 10 11 12 13
SIDE_BY_SIDE := $(MAKE) --no-print-directory -j 2
# In full a test may take longer before it counts as hung.
IN_FULL := INSTANTER_FULL=1 $(BIN)/python -m pytest -o faulthandler_timeout=7200

COMPILE := $(BIN)/python -m piptools compile --quiet --generate-hashes --allow-unsafe --strip-extras --all-build-deps \
	--no-header --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options
UPGRADE ?=

SECONDS := 600
RELIABILITY := build/reliability
QUALITY := build/quality
RUNNERS := ranklens trivago rees46 online_retail furniture
NEXT_ITEM := yoochoose_1_64 amazon_beauty yoochoose_100k serenade_toy eshop_clothing globo_news movielens_100k \
	rees46_night

.PHONY: help setup demo test alone parts unit check style faults faults-long fuzz pythons bench compare quality docs \
	site wheels dist lock clean

help:
	@echo "make demo     start a shop and watch a visitor's page change"
	@echo "make test     all tests, the fault tests cut short"
	@echo "make alone    of these, what measures time: it runs by itself (make parts: which part each test is in)"
	@echo "make unit     within a minute: the tests of the rooms that are functions, for whoever changes a line"
	@echo "make check    style, types, import rules, house rules (make style: all but the house rules, which are tests)"
	@echo "make faults   the long tests in full: kills, full disks, flipped bits, models of the state; writes"
	@echo "              docs/reliability.md (make faults-long: what takes an hour)"
	@echo "make fuzz     fuzz the doors for SECONDS each (600)"
	@echo "make pythons  the unit tests on the other Pythons that are here, and one log folded by all of them"
	@echo "make bench    measure this machine (ARGS are handed on)"
	@echo "make compare  what an event and a decision cost beside the checkout in BEFORE, which has a .venv"
	@echo "make quality  rank real lists and serve the simulator's people, beside plain rankings; writes docs/quality.md"
	@echo "make docs     write the generated pages, and check all of them"
	@echo "make site     build the docs into build/site, a site with a search"
	@echo "make setup    only install what the others need"
	@echo "make wheels   put what the locks name into $(WHEELS), to install from where there is no index"
	@echo "make dist     build a wheel and an sdist into dist"
	@echo "make lock     bring the locks up to pyproject.toml (UPGRADE=--upgrade: to the newest of everything)"
	@echo "make clean    remove what the others made here"

setup: $(VENV)/.development

$(VENV)/.made:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Instanter needs Python 3.11, 3.12 or 3.13, with venv. PYTHON=PATH says where one is."; exit 1; }
	"$(PYTHON)" -m venv $(VENV)
	@touch $@

$(VENV)/.runtime: requirements.lock pyproject.toml | $(VENV)/.made
	$(PIP) install $(LOCKED) -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	$(CHECKED)
	@touch $@

# What is used of these packages is compiled on first use: compiling all of them takes longer than unpacking them.
$(VENV)/.packages: requirements-dev.lock | $(VENV)/.made
	$(PIP) install --no-compile $(LOCKED) -r requirements-dev.lock
	@touch $@

$(VENV)/.development: $(VENV)/.packages pyproject.toml
	$(PIP) install --no-deps --no-build-isolation -e .
	$(CHECKED)
	@touch $@ $(VENV)/.runtime

$(VENV)/.fuzz: requirements-fuzz.lock | $(VENV)/.made
	$(PIP) install $(LOCKED) -r requirements-fuzz.lock
	$(CHECKED)
	@touch $@

demo: $(VENV)/.runtime
	$(BIN)/instanter demo $(ARGS)

test: $(VENV)/.development
	@mkdir -p build
	@status=0; $(SIDE_BY_SIDE) --keep-going $(LANES:%=lane-%) lane-doctests || status=1; \
	$(MAKE) --no-print-directory alone || status=1; exit $$status

alone: $(VENV)/.development
	$(BIN)/python -m pytest -q $(ALONE) $(ARGS) || [ $$? = 5 ]

parts:
	@$(foreach lane,$(LANES),echo "lane-$(lane): $(filter-out $(ALONE),$(LANE_$(lane)))";) echo "alone: $(ALONE)"

# 5 is what pytest says when ARGS leave no test of a lane.
lane-%:
	@$(BIN)/python -m pytest -q $(LANE_$*) $(ALONE:%=--ignore=%) $(ARGS) >build/lane-$*.told 2>&1; status=$$?; \
	cat build/lane-$*.told; [ $$status = 5 ] || exit $$status

lane-doctests:
	@$(BIN)/python -m pytest -q --doctest-modules src >build/lane-doctests.told 2>&1; status=$$?; \
	cat build/lane-doctests.told; exit $$status

unit: $(VENV)/.development
	@mkdir -p build
	@$(SIDE_BY_SIDE) lane-10 lane-11 lane-12 ARGS='-p no:schemathesis --hypothesis-profile unit \
		-m "not faults and not row and not slow" $(ARGS)'

check: style
	$(BIN)/python -m pytest -q tests/tidy

style: $(VENV)/.development
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/dependencies.py check

# The page is written whatever has failed. 5 is what pytest says when ARGS leave no test of a kind.
faults: $(VENV)/.development
	@mkdir -p $(RELIABILITY); status=0; \
	$(IN_FULL) -m "faults or row" tests --reliability $(RELIABILITY)/faults.json $(ARGS) \
		|| [ $$? = 5 ] || status=1; \
	$(IN_FULL) -m "not faults and not row" tests/state tests/examples \
		tests/api/test_clients.py tests/install $(ARGS) || [ $$? = 5 ] || status=1; \
	$(IN_FULL) -m "hypothesis and not faults and not row" tests --ignore=tests/state --ignore=tests/install \
		--ignore=tests/api/test_clients.py $(ARGS) || [ $$? = 5 ] || status=1; \
	$(BIN)/python tools/reliability_page.py docs/reliability.md $(RELIABILITY)/*.json || status=1; \
	exit $$status

faults-long: $(VENV)/.development $(VENV)/.fuzz
	@mkdir -p $(RELIABILITY); status=0; \
	INSTANTER_LONG=1 $(IN_FULL) -m long tests \
		--reliability $(RELIABILITY)/long.json $(ARGS) || [ $$? = 5 ] || status=1; \
	$(BIN)/python tests/fuzz/fuzz.py --seconds $(SECONDS) --reliability $(RELIABILITY)/fuzz.json || status=1; \
	$(BIN)/python tools/reliability_page.py docs/reliability.md $(RELIABILITY)/*.json || status=1; \
	exit $$status

fuzz: $(VENV)/.development $(VENV)/.fuzz
	$(BIN)/python tests/fuzz/fuzz.py --seconds $(SECONDS) --reliability $(RELIABILITY)/fuzz.json $(ARGS)

# A Python that is not here is said and left out. The virtual environments stay, and the tests of R25 use them. The
# Pythons run side by side; only installing the checkout itself, which writes into it, comes one after the other. What
# differs between Pythons is met by a test that runs at all, not by more examples of it: few are drawn.
pythons: $(VENV)/.development
	@mkdir -p build; rm -f $(PYTHONS:%=build/python-%.absent)
	@$(SIDE_BY_SIDE) $(PYTHONS:%=packages-%)
	@for version in $(PYTHONS); do $(MAKE) --no-print-directory development-$$version || exit 1; done
	@$(SIDE_BY_SIDE) $(PYTHONS:%=units-%)
	$(BIN)/python -m pytest -q tests/faults/test_r25_determinism.py

packages-%:
	@python=$$(command -v python$*) && $$python -c '' 2>/dev/null \
		|| python=$$(ls -d $${PYENV_ROOT:-$$HOME/.pyenv}/versions/$**/bin/python 2>/dev/null | tail -1); \
	if [ -z "$$python" ]; then echo "skipped: Python $* is not installed here"; touch build/python-$*.absent; exit 0; fi; \
	$(MAKE) --no-print-directory VENV=build/python-$* PYTHON=$$python build/python-$*/.packages

development-%:
	@[ -e build/python-$*.absent ] || $(MAKE) --no-print-directory VENV=build/python-$* build/python-$*/.development

units-%:
	@[ -e build/python-$*.absent ] || { build/python-$*/bin/python -m pytest -q --hypothesis-profile unit \
		-m "not faults and not row" $(UNITS) >build/python-$*.told 2>&1; status=$$?; \
		echo "Python $*:"; cat build/python-$*.told; exit $$status; }

bench: $(VENV)/.runtime
	$(BIN)/instanter bench $(ARGS)

compare: $(VENV)/.runtime
	$(BIN)/python tools/compare_cpu.py $(BEFORE) $(ARGS)

# The page is written whatever has failed; a run that fails leaves an empty file.
quality: $(VENV)/.development
	@mkdir -p $(QUALITY); \
	for name in $(RUNNERS); do \
		echo "$$name ..."; $(BIN)/python examples/$$name/run.py --json > $(QUALITY)/$$name.json || true; \
	done; \
	for name in $(NEXT_ITEM); do \
		echo "next item, $$name ..."; \
		$(BIN)/python examples/next_item/run.py $$name --json > $(QUALITY)/next_item-$$name.json || true; \
	done; \
	echo "positions ..."; $(BIN)/python examples/ranklens/positions.py --json > $(QUALITY)/positions.json || true; \
	$(BIN)/python tools/quality_page.py docs/quality.md $(QUALITY)/*.json

docs: $(VENV)/.development
	$(BIN)/python -m instanter.ops.reference docs/configuration.md
	$(BIN)/python -m instanter.ops.metrics docs/metrics.md
	$(BIN)/python tools/limits_page.py docs/limits.md
	$(BIN)/python tools/events_page.py docs/events.md
	$(BIN)/python tools/access_page.py docs/access.md
	$(BIN)/python tools/dependencies.py bill sbom.cdx.json
	$(BIN)/python tools/dependencies.py page docs/dependencies.md
	$(BIN)/python tools/tour.py docs/tour.md --write
	$(BIN)/python -m pytest -q tests/tidy/test_docs.py tests/tidy/test_docs_names.py tests/tidy/test_docs_blocks.py

# Its search asks for a file, which a browser allows over HTTP alone: python3 -m http.server -d build/site
site: $(VENV)/.development
	@$(BIN)/python tools/site.py build

wheels: | $(VENV)/.made
	$(PIP) download $(LOCKED) -d $(WHEELS) -r requirements-dev.lock

dist: $(VENV)/.development
	$(BIN)/python -m build --no-isolation --outdir dist .

# Needs no virtual environment that fits pyproject.toml, only pip-tools, since it is run when the two do not fit.
lock: | $(BIN)/pip-compile
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
		echo "The locks are made on the oldest Python that they are for, 3.11."; exit 1; }
	$(COMPILE) $(UPGRADE) -o requirements.lock pyproject.toml
	$(COMPILE) $(UPGRADE) --extra dev --extra geo -c requirements.lock -o requirements-dev.lock pyproject.toml
	$(COMPILE) $(UPGRADE) --extra fuzz -c requirements-dev.lock -o requirements-fuzz.lock pyproject.toml
	$(BIN)/python tools/locked_wheels.py requirements-dev.lock

$(BIN)/pip-compile: | $(VENV)/.made
	$(PIP) install $(LOCKED) -r requirements-dev.lock

clean:
	rm -rf $(VENV) build dist .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
	find src -name '*.egg-info' -type d -prune -exec rm -rf {} +
