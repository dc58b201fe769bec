# Each step leaves a stamp in .venv, so that a later run starts at once.
PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: demo benchmarks test test-quick clean

demo: .venv/compiled
	$(BIN)/python -m benchmarks.demo

# Everything at full size, for hours on two cores, then the report, and the tables of the pages anew. What does not agree
# ends parity with an error, and is for the report to tell.
benchmarks: .venv/compiled
	$(BIN)/python -m benchmarks.speed --output benchmark_output
	$(BIN)/python -m benchmarks.speed --growth --output benchmark_output
	$(BIN)/python -m benchmarks.accuracy --output benchmark_output
	-$(BIN)/python -m benchmarks.parity --output benchmark_output/parity
	$(BIN)/python -m benchmarks.report benchmark_output
	$(BIN)/python -m benchmarks.renew benchmark_output

test: .venv/browser .venv/compiled
	$(BIN)/python -m tests.run

test-quick: .venv/browser .venv/compiled
	$(BIN)/python -m tests.run --quick

.venv/created:
	@command -v $(PYTHON) >/dev/null || { \
	    echo "error: $(PYTHON) not found: apt-get install python3.11 python3.11-venv python3.11-dev" >&2; exit 2; }
	@command -v g++ >/dev/null || { echo "error: g++ not found: apt-get install g++" >&2; exit 2; }
	$(PYTHON) -m venv .venv
	@touch $@

# The tests open reports in a browser, which no package of Python brings: it is installed where that is allowed.
.venv/browser: .venv/created
	@has_browser() { command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null; \
	as_root() { if [ "$$(id -u)" = 0 ]; then "$$@"; else sudo -n "$$@"; fi; }; \
	has_browser || { as_root apt-get update && \
	    as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes chromium; } >/dev/null 2>&1 || :; \
	has_browser || { echo "error: chromium not found: apt-get install chromium" >&2; exit 2; }
	@touch $@

.venv/installed: .venv/created pyproject.toml constraints.txt
	$(BIN)/python -m pip install --constraint constraints.txt --editable ".[all,test]"
	@touch $@

# Jittor compiles its core when it is first imported: here, and not in the middle of a user's first command.
.venv/compiled: .venv/installed
	$(BIN)/python -m jittor_impl.device
	@touch $@

clean:
	rm -rf .venv build *.egg-info .pytest_cache .ruff_cache
