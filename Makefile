# One door: make run, make test, make check, make fix, make bench, make acceptance, make chaos. CI calls the same.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8501

.PHONY: run test check fix acceptance chaos bench clean

run: $(VENV)/.run
	@echo "unetlab: http://127.0.0.1:$(PORT)   (Ctrl-C ends the page, not a running training)"
	@trap : INT; $(BIN)/python -m streamlit run app.py --server.port=$(PORT); $(BIN)/python -m unetlab runs list --live

# Tests share the cores, so each process takes one thread; hundreds are started, so each module is compiled once only.
# One file alone: .venv/bin/python -m pytest tests/test_cli.py
test: $(VENV)/.dev check
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -q -n auto --dist worksteal

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

fix: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python -m unetlab options > docs/options.md

# Long trainings on real pictures; UNETLAB_TEST_DATA names their folder, by default ../shared/data
acceptance: $(VENV)/.dev
	$(BIN)/python -m pytest -q -m acceptance

# Half an hour of kills, pauses and full disks from a seed of its own; `python -m tests.chaos --help`
chaos: $(VENV)/.dev
	$(BIN)/python -m tests.chaos

# Tables of ratios to peers, measured side by side (benchmarks/README.md): most of an hour on an idle machine
bench: $(VENV)/.dev
	$(BIN)/python benchmarks/train.py
	$(BIN)/python benchmarks/quality.py --seeds 1 --only sample
	$(BIN)/python benchmarks/scaling.py
	$(BIN)/python benchmarks/page.py
	$(BIN)/python benchmarks/clicks.py
	$(BIN)/python benchmarks/import.py --pairs 1000
	$(BIN)/python benchmarks/threads.py

clean:
	rm -rf $(VENV) artifacts .pytest_cache .ruff_cache .hypothesis

$(VENV)/.run: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements.txt
	touch $@

$(VENV)/.dev: requirements.txt requirements-dev.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements-dev.txt
	touch $@ $(VENV)/.run
