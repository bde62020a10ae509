# `make demo` opens the page, `make test` is for every day, `make check` is all that CI runs. All set up .venv on first use.

PYTHON ?= python3
BIN := .venv/bin
PYTEST := $(BIN)/pytest -n auto --dist worksteal
# What is not written down is compiled anew by every program that starts: 6 s of torch each time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo example test check lint process whole browser installation slow soak architecture figures docs benchmark clean

demo: .venv/ready
	$(BIN)/python app.py

example: .venv/ready
	mkdir -p build
	$(BIN)/babe2 restore examples/old_variation.flac --output build/old_variation.restored.wav \
	  --report build/old_variation.json --plots build --overwrite
	@echo "Hear build/old_variation.restored.wav against examples/variation.flac, which it never saw. Plots: build/."

test: .venv/ready lint
	$(PYTEST) -m "not (slow or browser or process or training or thorough)"

check: .venv/ready
	$(MAKE) --jobs 2 lint whole
	$(MAKE) browser installation

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

process: .venv/ready # programs of their own, trainings, and every setting of every method
	$(PYTEST) -m "(process or training or thorough) and not (slow or browser)"

whole: .venv/ready # the tests of `test` and `process` in one turn, so that they are gathered once
	$(PYTEST) -m "not (slow or browser)"

browser: .venv/ready # the page, what is heard in a browser, and programs that visit: few at once, or they are too slow
	$(BIN)/pytest -n 2 --dist loadfile -m "browser and not slow" $$(grep -rl '^pytest_plugins' tests --include='test_*.py')

installation: .venv/ready # a wheel, used where nothing of the checkout is at hand
	$(BIN)/pytest -m slow tests/test_installation.py

slow: .venv/ready # the full-size networks against their recorded numbers
	$(BIN)/pytest -m slow

soak: .venv/ready # seeded attacks; SOAK="--seed 3 --count 1000 --minutes 60"
	cd tests && ../$(BIN)/python -m soak $(SOAK)

architecture: .venv/ready
	$(BIN)/python docs/draw_architecture.py

figures: .venv/ready # into the pages that tell them, from benchmarks/results
	$(BIN)/python benchmarks/write_figures.py

docs: .venv/docs # the pages as a site in build/site, with the interface from the code; what leads nowhere is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@echo "Open build/site/index.html. To search it: python -m http.server --directory build/site"

.venv/docs: .venv/ready
	$(BIN)/pip install --quiet --no-compile --editable '.[docs]'
	touch $@

benchmark: .venv/ready
	$(BIN)/python benchmarks/evaluation.py
	$(BIN)/python benchmarks/restoration.py

.venv/ready: requirements.txt pyproject.toml # Python compiles what is used when it is first used, not all of it now
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --no-compile --requirement requirements.txt
	$(BIN)/pip install --quiet --no-compile --editable '.[test]'
	touch $@

clean:
	rm -rf .venv build .mypy_cache .pytest_cache .ruff_cache
