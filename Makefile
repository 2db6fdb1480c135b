# make demo   install, run the regularization sweep on digits (embedded Ray and MLflow) and draw its figures
# make test   install, then lint, types and all tests
# make bench  install, then the benchmarks against two peers
# make coverage  the tests again, and which lines they ran: takes twice as long
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SIDE_BY_SIDE := --numprocesses 3 --dist loadfile --no-loadscope-reorder --durations 25

.PHONY: demo test coverage lint bench clean
demo: $(VENV)/.installed
	$(BIN)/python -m sweeps.regularization --scale laptop
	$(BIN)/python -m analysis

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

# Python compiles what is imported when it first is: most never is, and pip would do it all, file by file.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --no-compile --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV)
