# make demo   install, run the regularization sweep on digits (embedded Ray and MLflow) and draw its figures
# make test   install, then lint, types and all tests
# make bench  install, then the benchmarks against two peers
# make coverage  the tests again, and which lines they ran: takes twice as long
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SIDE_BY_SIDE := --numprocesses 2 --dist loadfile --no-loadscope-reorder --durations 25

.PHONY: demo test coverage lint bench clean
demo: $(VENV)/.installed
	$(BIN)/python -m sweeps.regularization --scale laptop
	$(BIN)/python -m analysis

# Tests start hundreds of processes, each of which would compile the project anew.
test coverage: export PYTHONDONTWRITEBYTECODE :=
test: lint
	$(BIN)/python -m pytest $(SIDE_BY_SIDE)

coverage: $(VENV)/.installed
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) --cov --cov-report=term:skip-covered

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed
	$(BIN)/python -m benchmarks

# pip would compile one file after the other, on one core. Some packages bring files that are no Python.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --no-compile --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true
	touch $@

clean:
	rm -rf $(VENV)
