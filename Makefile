# Everything starts from here: bare `make` lists the targets.
.DEFAULT_GOAL := help
.ONESHELL:
SHELL := /bin/sh
.SHELLFLAGS := -ec

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN_STAMP := $(VENV)/.run-$(shell cksum requirements/run.txt pyproject.toml | cksum | cut -d' ' -f1)
NODE := tests/conformance/typescript
NODE_STAMP := $(NODE)/node_modules/.package-lock.json
DEV_STAMP := $(VENV)/.dev-$(shell cksum requirements/dev.txt pyproject.toml | cksum | cut -d' ' -f1)

help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1	/' | expand -t 14

demo: $(RUN_STAMP) ## Set up, fill a demo tenant and serve it on http://127.0.0.1:8000
	@$(BIN)/bellbird demo

test: $(DEV_STAMP) ## Run the tests on the embedded PostgreSQL (ARGS="-k name" for some)
	@$(BIN)/pytest -n auto --maxprocesses 4 $(ARGS)

test-system: $(DEV_STAMP) ## Run the same tests on this machine's own PostgreSQL
	@$(BIN)/pytest -n auto --maxprocesses 4 --postgres=system $(ARGS)

check: format-check lint types contracts docs-check test ## Everything that CI checks

format: $(DEV_STAMP) ## Lay out the code
	@$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

format-check: $(DEV_STAMP) ## Is the code laid out?
	@$(BIN)/ruff format --check .

lint: $(DEV_STAMP) ## Look for mistakes
	@$(BIN)/ruff check .

types: $(DEV_STAMP) ## Check the types
	@$(BIN)/mypy

contracts: $(DEV_STAMP) ## Check who may import whom
	@$(BIN)/lint-imports

docs: $(DEV_STAMP) ## Write the parts of the documentation that come from the code
	@$(BIN)/python docs/generate.py

docs-check: $(DEV_STAMP) ## Is the documentation what the code says?
	@$(BIN)/python docs/generate.py --check

conformance: $(DEV_STAMP) ## Ask the running server 200 times over whether it keeps to its description
	@CONFORMANCE_EXAMPLES=200 $(BIN)/pytest -n auto --maxprocesses 4 tests/conformance $(ARGS)

node: $(NODE_STAMP) ## Install what the tests of the TypeScript client need

bench: $(DEV_STAMP) ## Run every benchmark against PostgreSQL's own limit
	@$(BIN)/python -m benchmarks $(ARGS)

bench-api: $(DEV_STAMP) ## Benchmark the API alone
	@$(BIN)/python -m benchmarks.api $(ARGS)

bench-log: $(DEV_STAMP) ## Benchmark what the event log costs a create
	@$(BIN)/python -m benchmarks.log $(ARGS)

bench-kill: $(DEV_STAMP) ## Kill workers 50 times during 5,000 jobs, and see that none is lost
	@$(BIN)/python -m benchmarks.kill_worker $(ARGS)

bench-stream: $(DEV_STAMP) ## Benchmark the live stream: a thousand clients of one process
	@$(BIN)/python -m benchmarks.stream $(ARGS)

bench-calls: $(DEV_STAMP) ## Benchmark who is calling, among a million contacts, and statistics of a million calls
	@$(BIN)/python -m benchmarks.calls $(ARGS)

lock: $(DEV_STAMP) ## Renew the locked requirements
	@compile="$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header \
	  --python-version 3.11 --extra demo --group build"
	$$compile --upgrade -o requirements/run.txt pyproject.toml
	$$compile --group dev -c requirements/run.txt -o requirements/dev.txt pyproject.toml

clean: ## Remove what the other targets made in this folder
	@rm -rf $(VENV) $(NODE)/node_modules .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(RUN_STAMP): requirements/run.txt
	@sh requirements/install "$(PYTHON)" $(VENV) requirements/run.txt
	touch $@

$(DEV_STAMP): requirements/dev.txt
	@sh requirements/install "$(PYTHON)" $(VENV) requirements/dev.txt
	touch $@

$(NODE_STAMP): $(NODE)/package-lock.json
	@cd $(NODE) && npm ci --no-audit --no-fund
	touch node_modules/.package-lock.json

.PHONY: help demo test test-system check format format-check lint types contracts docs docs-check conformance node bench bench-api bench-log bench-kill bench-stream bench-calls lock clean
