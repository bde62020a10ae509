# `make demo` restores a bundled example, `make test` checks everything. Both set up .venv on first use.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint slow benchmark clean

demo: .venv/ready
	mkdir -p build
	$(BIN)/babe2 restore examples/bach_aria.flac --checkpoint tests/reference/small_checkpoint --preset draft \
	  --output build/bach_aria.restored.wav --report build/bach_aria.json --plots build --overwrite
	@echo "This checkpoint is a test's, hardly trained: listen for the machinery, not for the music."

test: .venv/ready lint
	$(BIN)/pytest

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

slow: .venv/ready
	$(BIN)/pytest -m slow

benchmark: .venv/ready
	$(BIN)/python benchmarks/evaluation.py

.venv/ready: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --requirement requirements.txt
	$(BIN)/pip install --quiet --editable '.[test]'
	touch $@

clean:
	rm -rf .venv build .mypy_cache .pytest_cache .ruff_cache
