# Targets in the order of the flow; `make` alone lists them. Each calls one `tailorbird` sub-command.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SDK := sdk/js/node_modules/.installed
TAILORBIRD := $(BIN)/tailorbird
DATA ?= shop
DATA_PATH ?=
ARGS ?=
SIDE_BY_SIDE := --numprocesses 2 --dist loadfile --no-loadscope-reorder
WORKSPACE := --workspace $(DATA)
# Engines by name: `make demo EVENTS=kafka://... ONLINE=redis://... MLFLOW=postgresql://...`, with any target.
ENGINES := EVENTS:EVENTS ONLINE:ONLINE MLFLOW:TRACKING_URI STUDIES:STUDIES STORAGE:STORAGE CATALOG:CATALOG PEOPLE:PEOPLE
setting = $(if $(filter command,$(origin $(1))),$(eval export TAILORBIRD_$(2) := $(value $(1))))
$(foreach engine,$(ENGINES),$(call setting,$(firstword $(subst :, ,$(engine))),$(lastword $(subst :, ,$(engine)))))

.DEFAULT_GOAL := help
.PHONY: help setup check test test-fast prove demo ingest features segments train tune evaluate promote rollback serve mlflow bench doctor

help:
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.installed ## Create the environment from the lock

$(VENV)/.installed: requirements.lock pyproject.toml
	@echo "Creating the environment in $(VENV) from the lock: some minutes ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c 'import sys; sys.exit("Tailorbird needs Python 3.11 or newer, this is " + sys.version) if sys.version_info < (3, 11) else None'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

$(SDK): sdk/js/package-lock.json
	@cd sdk/js && if npm ci --silent --fetch-retries=1; then touch node_modules/.installed; \
		else echo "no npm, or it found nothing: tests that build the browser SDK skip"; fi

check: setup ## Format, lint, types, import contracts, spelling
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

test: setup $(SDK) ## Run every test, two files at a time, one of them what starts a cluster; warnings are errors
	$(BIN)/pytest $(SIDE_BY_SIDE) $(ARGS)

test-fast: setup $(SDK) ## The tests that start no Ray and no server: some minutes
	$(BIN)/pytest $(SIDE_BY_SIDE) -m "not ray and not server and not slow" $(ARGS)

prove: setup $(SDK) ## The same tests with as many tries as our figures promise: an hour or more
	TAILORBIRD_PROVE=1 $(BIN)/pytest $(SIDE_BY_SIDE) $(ARGS)

demo: setup ## From raw events to answers over HTTP, then serve until Ctrl-C (DATA=, EVENTS=, ONLINE=, MLFLOW=)
	@$(TAILORBIRD) demo --data $(DATA) $(if $(DATA_PATH),--path $(DATA_PATH)) $(ARGS)

ingest: setup ## Validate events, items and users into the workspace
	@$(TAILORBIRD) ingest $(WORKSPACE) $(ARGS)

features: setup ## Apply the Feast repository and bring features up to date
	@$(TAILORBIRD) features $(WORKSPACE) $(ARGS)

segments: setup ## Find segments in what people do, and promote them
	@$(TAILORBIRD) segments fit $(WORKSPACE) --promote $(ARGS)

train: setup ## Fit one recipe, track and register it
	@$(TAILORBIRD) train $(WORKSPACE) $(ARGS)

tune: setup ## Search a recipe's space with Optuna on Ray
	@$(TAILORBIRD) tune $(WORKSPACE) $(ARGS)

evaluate: setup ## Evaluate a registered model on the newest events
	@$(TAILORBIRD) evaluate $(WORKSPACE) $(ARGS)

promote: setup ## Move an alias to a version that passes the gates
	@$(TAILORBIRD) promote $(WORKSPACE) $(ARGS)

rollback: setup ## Return an alias to the version it had before
	@$(TAILORBIRD) rollback $(WORKSPACE) $(ARGS)

serve: setup ## Answer HTTP requests with the champion
	@$(TAILORBIRD) serve $(WORKSPACE) $(ARGS)

mlflow: setup ## Open the MLflow pages
	@$(TAILORBIRD) mlflow $(WORKSPACE) $(ARGS)

bench: setup ## Measure speed: requests per second, latencies, ratios
	@$(TAILORBIRD) bench serving --out .tailorbird/bench $(ARGS)

doctor: setup ## Say what each setting points at and whether it answers
	@$(TAILORBIRD) doctor $(WORKSPACE) $(ARGS)
