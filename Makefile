# One door: make run, make test, make check, make fix, make bench, make acceptance. CI calls the same.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8501

.PHONY: run test check fix acceptance bench clean

run: $(VENV)/.run
	@echo "unetlab: http://127.0.0.1:$(PORT)   (Ctrl-C ends the page, not a running training)"
	@trap : INT; $(BIN)/python -m streamlit run app.py --server.port=$(PORT); $(BIN)/python -m unetlab runs list --live

test: $(VENV)/.dev check
	$(BIN)/python -m pytest -q

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

fix: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Long trainings on real pictures; UNETLAB_TEST_DATA names their folder, by default ../shared/data
acceptance: $(VENV)/.dev
	$(BIN)/python -m pytest -q -m acceptance

# Ratios to peers, measured side by side in one run: an import beside a bare decode loop
bench: $(VENV)/.dev
	$(BIN)/python benchmarks/import.py

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
