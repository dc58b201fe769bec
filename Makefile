# Each step leaves a stamp in .venv, so that a later run starts at once.
PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: demo test test-quick clean

demo: .venv/compiled
	$(BIN)/python -m benchmarks.demo

test: .venv/compiled
	$(BIN)/python -m tests.run

test-quick: .venv/compiled
	$(BIN)/python -m tests.run --quick

.venv/created:
	@command -v $(PYTHON) >/dev/null || { \
	    echo "error: $(PYTHON) not found: apt-get install python3.11 python3.11-venv python3.11-dev" >&2; exit 2; }
	@command -v g++ >/dev/null || { echo "error: g++ not found: apt-get install g++" >&2; exit 2; }
	$(PYTHON) -m venv .venv
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
