# ARGS goes to the program or to pytest: `make run ARGS=--once`, `make test-fast ARGS="-k digest"`.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
BIN := .venv/bin
ARGS ?=

.PHONY: help run test check test-fast test-slow test-live test-browser test-contract setup setup-run test-tools format lock bench clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' Makefile

run: setup-run ## set up what is needed and run the demo
	@exec $(BIN)/ringbridge demo $(ARGS)

test: setup test-tools ## set up what is needed, then all checks and all tests
	@$(MAKE) --no-print-directory check
	@$(MAKE) --no-print-directory test-fast
	@$(MAKE) --no-print-directory test-slow

test-fast: setup ## all tests but those in tests/live, tests/browser and tests/contract
	@exec $(BIN)/pytest --ignore=tests/live --ignore=tests/browser --ignore=tests/contract --numprocesses=2 $(ARGS)

SLOW := $(BIN)/pytest --dist=loadfile

test-slow: setup test-tools ## the live, browser and contract tests at once
	@exec $(SLOW) tests/live tests/browser tests/contract --numprocesses=3 $(ARGS)

test-live: setup test-tools ## the tests with real processes, SIPp and kill -9
	@exec $(SLOW) tests/live --numprocesses=2 $(ARGS)

test-browser: setup test-tools ## the pages, in Chromium
	@exec $(SLOW) tests/browser --numprocesses=2 $(ARGS)

test-contract: setup test-tools ## the API contract, at any server (ARGS="--base-url … --key … --sip host:port --receiver address")
	@exec $(SLOW) tests/contract --numprocesses=2 $(ARGS)

CHECKS := check-format check-lint check-types check-imports check-sizes check-locks check-dependencies
.PHONY: $(CHECKS)

check: setup ## format, lint, types, imports, module sizes, lock files, libraries
	@$(MAKE) --no-print-directory --keep-going --output-sync --jobs=2 $(CHECKS)

check-types: # the longest, so it starts first
	@$(BIN)/mypy

check-format:
	@$(BIN)/ruff format --quiet --diff .

check-lint:
	@$(BIN)/ruff check --quiet .

check-imports:
	@$(BIN)/lint-imports --no-logo

check-sizes:
	@$(BIN)/python tools/check_sizes.py

check-locks:
	@$(BIN)/python tools/check_locks.py

check-dependencies:
	@$(BIN)/python tools/check_dependencies.py

setup: ## the environment for checks and tests, in .venv
	@tools/setup.sh dev

setup-run:
	@tools/setup.sh run

test-tools:
	@tools/test_tools.sh

format: setup ## format and mend what can be mended
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix .

lock: ## make the lock files from the .in files (needs a network; ARGS=--upgrade for the newest versions)
	@[ -x $(BIN)/uv ] || tools/setup.sh dev
	@tools/lock.sh $(ARGS)

bench: setup test-tools ## the figures of this machine
	@exec $(BIN)/ringbridge bench $(ARGS)

clean: ## remove all that was made here, .venv too
	@rm -rf .venv .venv-clients tests/live/typescript/node_modules tests/browser/node_modules build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find src tests tools -name __pycache__ -type d -prune -exec rm -rf {} +
