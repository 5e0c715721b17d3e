# One command per task; the first one makes .venv, later ones find it made.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: run test lint types check bench
.DEFAULT_GOAL := run

run: $(READY)  ## the demonstration on this machine; PORT=8001 if 8000 is taken
	@$(BIN)/python -m project.demo.run

test: $(READY)  ## all tests, with a real Redis and PostgreSQL that they start themselves
	@$(BIN)/python -m pytest $(ARGS)

lint: $(READY)  ## style and formatting
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(READY)
	@$(BIN)/mypy

check: $(READY)  ## Django's checks, and that no migration is missing
	@$(BIN)/python manage.py check
	@$(BIN)/python manage.py makemigrations --check --dry-run

bench: $(READY)  ## the measurements of docs/design.md
	@$(BIN)/python -m bench $(ARGS)

# Touched last: an installation that was cut off is done again.
$(READY): requirements.txt
	@$(PYTHON) -c 'import sys; sys.version_info < (3, 11) and sys.exit("Python 3.11 or later is needed: make PYTHON=…")'
	@echo "Installing the requirements into .venv, once…"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $(READY)
