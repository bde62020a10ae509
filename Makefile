# `make demo` opens the page, `make test` checks everything. Both set up .venv on first use.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo example test lint slow benchmark clean

demo: .venv/ready
	$(BIN)/python app.py

example: .venv/ready
	mkdir -p build
	$(BIN)/babe2 restore examples/old_variation.flac --output build/old_variation.restored.wav \
	  --report build/old_variation.json --plots build --overwrite
	@echo "Hear build/old_variation.restored.wav against examples/variation.flac, which it never saw. Plots: build/."

test: .venv/ready lint
	$(BIN)/pytest -n auto --dist loadfile --ignore tests/page/test_desk.py --ignore tests/test_app.py
	$(BIN)/pytest tests/page/test_desk.py tests/test_app.py # what is heard in a browser needs the machine to itself

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

slow: .venv/ready
	$(BIN)/pytest -m slow

benchmark: .venv/ready
	$(BIN)/python benchmarks/evaluation.py
	$(BIN)/python benchmarks/restoration.py

.venv/ready: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --requirement requirements.txt
	$(BIN)/pip install --quiet --editable '.[test]'
	touch $@

clean:
	rm -rf .venv build .mypy_cache .pytest_cache .ruff_cache
