# Everything starts from here: bare `make` lists the targets.
.DEFAULT_GOAL := help
.ONESHELL:
SHELL := /bin/sh
.SHELLFLAGS := -ec

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN_STAMP := $(VENV)/.run-$(shell cksum requirements/run.txt pyproject.toml | cksum | cut -d' ' -f1)
DEV_STAMP := $(VENV)/.dev-$(shell cksum requirements/dev.txt pyproject.toml | cksum | cut -d' ' -f1)

help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1	/' | expand -t 14

demo: $(RUN_STAMP) ## Set up, fill a demo tenant and serve it on http://127.0.0.1:8000
	@$(BIN)/bellbird demo

test: $(DEV_STAMP) ## Run the tests on the embedded PostgreSQL (ARGS="-k name" for some)
	@$(BIN)/pytest -n auto --maxprocesses 4 $(ARGS)

test-system: $(DEV_STAMP) ## Run the same tests on this machine's own PostgreSQL
	@$(BIN)/pytest -n auto --maxprocesses 4 --postgres=system $(ARGS)

check: format-check lint types contracts test ## Everything that CI checks

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

bench: $(DEV_STAMP) ## Run every benchmark against PostgreSQL's own limit
	@$(BIN)/python -m benchmarks $(ARGS)

bench-api: $(DEV_STAMP) ## Benchmark the API alone
	@$(BIN)/python -m benchmarks.api $(ARGS)

lock: $(DEV_STAMP) ## Renew the locked requirements
	@compile="$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header \
	  --python-version 3.11 --extra demo --group build"
	$$compile --upgrade -o requirements/run.txt pyproject.toml
	$$compile --group dev -c requirements/run.txt -o requirements/dev.txt pyproject.toml

clean: ## Remove what the other targets made in this folder
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(RUN_STAMP): requirements/run.txt
	@sh requirements/install "$(PYTHON)" $(VENV) requirements/run.txt
	touch $@

$(DEV_STAMP): requirements/dev.txt
	@sh requirements/install "$(PYTHON)" $(VENV) requirements/dev.txt
	touch $@

.PHONY: help demo test test-system check format format-check lint types contracts bench bench-api lock clean
