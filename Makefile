# Everything one does with Staffel; `make` alone lists it.

PYTHON ?= python3
ARGS ?=
# Tests run in so many processes; each that needs them starts a Kafka and a PostgreSQL of its own. One more than the two
# processors we promise for: whoever tests running services mostly waits for them. Of proofs three at a time, too, but
# those that compute on both processors count as two (tests/turns.py).
PROCESSES ?= 3
PROOFS ?= 3

VENV := .venv
BIN := $(VENV)/bin
COMPILE := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11
# Says where the environment is, for a shell in which another one is active.
SYNC := VIRTUAL_ENV="$(CURDIR)/$(VENV)" $(BIN)/uv pip sync --require-hashes
INSTALL := VIRTUAL_ENV="$(CURDIR)/$(VENV)" $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .

.PHONY: help demo up test prove bench check generate release lock clean
.DEFAULT_GOAL := help

help: ## List these verbs.
	@sed -n 's/^\([a-z]*\):.*## /\1|/p' Makefile | while IFS='|' read -r verb says; do printf '  make %-10s %s\n' "$$verb" "$$says"; done

demo: $(VENV)/run.stamp ## Show two real handovers on real Kafka and PostgreSQL; ARGS=--once ends when they are told.
	@$(BIN)/staffel demo $(ARGS)

up: $(VENV)/run.stamp ## Run Kafka, PostgreSQL and the services of all agencies until Ctrl-C.
	@$(BIN)/staffel up $(ARGS)

test: $(VENV)/check.stamp ## Run every test; ARGS goes to pytest, for example ARGS="-k handover".
	@$(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist loadscope --no-loadscope-reorder $(ARGS)

prove: $(VENV)/check.stamp ## Run the long proofs (up to 45 minutes); ARGS goes to pytest.
	@$(BIN)/python -m pytest -m prove --numprocesses $(PROOFS) --dist loadscope --no-loadscope-reorder \
		--durations 0 --durations-min 10 $(ARGS)

bench: $(VENV)/check.stamp ## Measure beside its opponents (three quarters of an hour); ARGS=--short for a look, the report is benchmarks/report.json.
	@$(BIN)/python -m benchmarks.run $(ARGS)

check: $(VENV)/check.stamp ## Run what judges the code without running it: lint, types, floor plan, generated files.
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m docs.generate --check
	@$(BIN)/python -m docs.release --check

generate: $(VENV)/check.stamp ## Write every document that is made from code.
	@$(BIN)/python -m docs.generate

release: $(VENV)/check.stamp ## Freeze the events of this version, so that no later one can break who hears them.
	@$(BIN)/python -m docs.release $(ARGS)

lock: $(VENV)/uv.stamp ## Choose versions anew for what pyproject.toml asks for, with their hashes.
	@printf 'uv\n' | $(COMPILE) --upgrade --output-file requirements/bootstrap.txt -
	@$(COMPILE) --upgrade --output-file requirements/service.txt pyproject.toml
	@$(COMPILE) --upgrade --extra run --output-file requirements/run.txt pyproject.toml
	@$(COMPILE) --upgrade --extra run --extra check --extra bench --output-file requirements/check.txt pyproject.toml

clean: ## Remove the environment and every cache; the data of demo and up stay.
	rm -rf $(VENV) staffel.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .grimp_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp says that what is installed agrees with its file; the second run finds it and does nothing. check.txt contains
# run.txt, so an environment that has been made for checking stays one.

$(VENV)/uv.stamp: requirements/bootstrap.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Staffel needs Python 3.11 or newer: make PYTHON=/path/to/it ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/bootstrap.txt
	@touch $@

$(VENV)/run.stamp: requirements/run.txt pyproject.toml $(VENV)/uv.stamp
	$(SYNC) requirements/$(if $(wildcard $(VENV)/check.stamp),check,run).txt
	$(INSTALL)
	@touch $@

$(VENV)/check.stamp: requirements/check.txt pyproject.toml $(VENV)/uv.stamp
	$(SYNC) requirements/check.txt
	$(INSTALL)
	@touch $(VENV)/run.stamp $@
