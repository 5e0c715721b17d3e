# One command per task; the first one makes .venv, later ones find it made.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: run serve worker test faults lint types check bench images requirements
.DEFAULT_GOAL := run

run: $(READY)  ## the demonstration on this machine; PORT=8001 if 8000 is taken
	@$(BIN)/python -m project.demo.run

serve: $(READY)  ## as in production: WORKERS=2 processes on PORT; needs DATABASE_URL and REDIS_URL
	@WORKERS=$${WORKERS:-2} $(BIN)/python -m project.serve --prepare

worker: $(READY)  ## the demonstration's worker by itself, beside `make serve`
	@$(BIN)/python manage.py demo_users
	@$(BIN)/python manage.py demo_worker

test: $(READY)  ## all tests, with a real Redis and PostgreSQL that they start, and a real browser
	@$(BIN)/python -m tests.kit.system
	@$(BIN)/python -m pytest -n 3 --dist worksteal $(ARGS)

faults: $(READY)  ## everything dies, again and again, and nothing is lost; ARGS="--seed 1 --deliveries 50000 --faults 20"
	@$(BIN)/python -m tests.faults $(ARGS)

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

images: $(READY)  ## docs/images: each page of a running site with real data, in light and dark
	@$(BIN)/python -m tests.kit.chromium
	@$(BIN)/python -m tests.images $(ARGS)

requirements: $(READY)  ## write docs/requirements.md: which test covers which row
	@$(BIN)/python -m tests.kit.requirements

# Touched last: an installation that was cut off is done again.
$(READY): requirements.txt
	@$(PYTHON) -c 'import sys; sys.version_info < (3, 11) and sys.exit("Python 3.11 or later is needed: make PYTHON=…")'
	@echo "Installing the requirements into .venv, once; it takes a minute or two…"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $(READY)
