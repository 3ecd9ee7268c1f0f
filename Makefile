# make setup   a virtual environment in .venv with everything that the tests need
# make test    all checks and tests, as CI runs them
# make parity-report  the rules and fields that are compared with Envoy, and those that are not
# make bench   CPU per request, latency and memory beside Envoy, HAProxy and nginx
# make soak    what fails while the proxy is restarted, reloaded, killed and drained under load
# make demo    the proxy in front of an example origin
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Test processes, for two cores. Most tests wait more than they compute; a file's tests stay together, as they share a started proxy.
WORKERS ?= 3
PYTEST := $(BIN)/python -m pytest
PARALLEL := --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

# The tests start hundreds of processes: each would compile all of our code anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup docs test lint types unit integration field-audit parity-report bench soak demo clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@

# The tests come last, so that pytest's verdict is the last line.
test: setup
	$(MAKE) --no-print-directory --jobs=2 --output-sync=target lint types field-audit parity-report
	$(PYTEST) $(PARALLEL)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy
	$(BIN)/mypy tests/kit bench

unit: setup
	$(PYTEST) $(PARALLEL) tests/unit tests/property -q

integration: setup
	$(PYTEST) $(PARALLEL) tests/integration tests/parity -q

# Removes each supported field from the configuration of the test that claims it, and expects that test to fail.
field-audit: setup
	$(PYTEST) --field-audit --numprocesses $(WORKERS)

# Writes the pages that are generated from the code.
docs: setup
	$(BIN)/python -m tools.supported_fields
	$(BIN)/python -m tests.parity.report --write

# What tests/parity shows, by the marks of the tests: runs none of them. Fails where a rule has no case.
parity-report: setup
	$(BIN)/python -m tests.parity.report

# Ratios to Envoy and others; ARGS='--quick', '--only PATTERN', … (bench/README.md).
bench: setup
	@$(BIN)/python -m bench $(ARGS)

# Failed requests, attributed; ARGS='--minutes 5', '--subjects trireme,haproxy,envoy', '--json', … (bench/README.md).
soak: setup
	@$(BIN)/python -m bench.soak $(ARGS)

demo:
	PYTHON='$(PYTHON)' VENV='$(VENV)' examples/quickstart/run

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
