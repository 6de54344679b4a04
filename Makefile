# Every target is explained by `make help`. Nothing here needs more than make, bash and Python 3.11.
SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help setup run check test lint types mutants crashes bench chaos lock clean

BIN := .venv/bin
# Test processes: as many as CPUS says. Most tests wait for what other processes do.
CPUS ?= 4
PYTEST := $(BIN)/python -m pytest -n $(CPUS)

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s  %s\n", $$1, $$2 }' Makefile

setup: ## Make .venv with everything in it (does nothing when nothing has changed)
	@scripts/setup

run: setup ## Start Headway here and run the weather example; ONCE=1 ends after the run
	$(BIN)/headway up $(if $(ONCE),--once) examples/weather/pipeline.yaml

check: lint types ## The fast part of the tests, under a minute: format, lint, types, unit, architecture
	$(PYTEST) -q tests/unit tests/architecture

test: lint types ## Every test, on real servers (see docs/development.md for where they come from)
	$(PYTEST) tests

lint: setup ## Check format and lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: setup ## Check types
	$(BIN)/mypy

mutants: setup ## Break the engine on purpose in many small ways; each must make a test fail
	$(BIN)/python scripts/mutants.py

crashes: setup ## Let each process die before and after every crash point, on all servers; some 15 minutes
	LONG=1 $(PYTEST) -q tests/fault/crash_points

bench: setup ## Measure beside Celery canvas on private servers; BENCH=--quick shows that it works
	$(BIN)/headway bench $(BENCH)

# SCENARIOS names those to run, BROKER the broker, LONG=1 takes the time for the full figures.
chaos: setup ## Break a whole installation in every way, and print what was lost, doubled or stuck
	$(BIN)/python -m tests.fault.chaos $(SCENARIOS) $(if $(BROKER),--broker $(BROKER)) $(if $(LONG),--long)

lock: setup ## Write requirements.lock anew from pyproject.toml, then install it
	@scripts/lock
	@scripts/setup

clean: ## Remove .venv and everything that tools left behind (not .headway, which holds your runs)
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
