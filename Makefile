# Every target installs what it needs first; `make install` alone does only that.
PYTHON ?= $(shell command -v python3.12 >/dev/null && python3.12 -c '' 2>/dev/null && echo python3.12 || echo python3)
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: install demo test services check

install: $(STAMP)

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 13) else "Python 3.11 or 3.12 is needed (Bytewax has wheels for no other); set PYTHON=")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25'
	$(BIN)/python -m pip install --quiet --editable '.[local,ocr,dev]'
	@touch $(STAMP)

demo: install
	@exec $(BIN)/python -m overshoot_flow_pipelines.demo

test: install
	$(BIN)/python -m pytest

# Real services that tests start; apt needs root. Without them such tests are skipped.
services:
	tests/services/install.sh

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	$(BIN)/python tests/check_file_lengths.py
	$(BIN)/python -m pytest -n 0 tests/packaging
