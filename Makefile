# The whole developer interface: make demo, make test, make check. Each makes .venv as needed; nothing is activated.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: demo test test-long check format clean

demo: $(VENV)/.installed
	$(BIN)/residua train
	@echo
	@echo "Open the report above in a browser. Then, as they stand:"
	@echo "  $(BIN)/residua predict last examples/digits --top 3"
	@echo "  $(BIN)/residua train examples/shapes"
	@echo "  $(BIN)/residua inspect resnet20 --input 3x32x32"

test: $(VENV)/.tests
	$(BIN)/python -m pytest -n 2

# A hundred runs, each killed three times and resumed to the identical result.
test-long: $(VENV)/.tests
	RESIDUA_TEST_KILLS=100 $(BIN)/python -m pytest -n 2 tests/training/test_kills.py tests/training/test_full_disk.py tests/training/test_resume.py

check: $(VENV)/.check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright --pythonpath $(BIN)/python

format: $(VENV)/.check
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV)

# torch goes first and by its exact version: asked for in passing, pip may take another build.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "residua needs Python 3.11 or newer; run: make $(MAKECMDGOALS) PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install "$$(grep '^torch==' constraints.txt)" $(PIP_FLAGS)
	$(PIP) install -c constraints.txt -e . $(PIP_FLAGS)
	@touch $@

$(VENV)/.tests: $(VENV)/.installed
	$(PIP) install -c constraints.txt $$($(PYTHON) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["test"])') $(PIP_FLAGS)
	@touch $@

$(VENV)/.check: $(VENV)/.tests
	$(PIP) install -c constraints.txt import-linter "pyright[nodejs]" ruff $(PIP_FLAGS)
	@touch $@
