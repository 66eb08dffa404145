# Two commands matter: `make demo` and `make test`. Both set up everything they need in .venv.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check
CONSTRAINTS := deploy/constraints.txt
export PIP_NO_INPUT := 1

.DEFAULT_GOAL := help
.PHONY: help demo test lint types unit setup setup-test system-packages contracts bench reader faults soak fuzz fuzz-coverage model test-vllm bench-comments clean

help: ## what there is to do
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup ## the main job, live: clicks and comments become interest profiles (embedded broker and Valkey)
	$(BIN)/penchant demo

test: setup-test system-packages lint types unit ## everything CI checks

lint: setup-test ## ruff and import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: setup-test ## mypy --strict
	$(BIN)/mypy
	$(BIN)/mypy tests/typed_reader.py

unit: setup-test ## the tests; real Apache Kafka too where KAFKA_HOME and Java are there
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not alone"
	$(BIN)/python -m pytest -m alone

setup: $(VENV)/.demo ## the environment of the demo

setup-test: $(VENV)/.test

$(VENV)/.demo: pyproject.toml $(CONSTRAINTS)
	@echo "== setting up $(VENV) (a minute or two the first time)"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install -q -c $(CONSTRAINTS) -e '.[demo]'
	@touch $@

$(VENV)/.test: $(VENV)/.demo
	@echo "== adding what the tests need"
	$(PIP) install -q -c $(CONSTRAINTS) -e '.[demo,dev,train]'
	@touch $@

system-packages: ## promtool and Chromium, from Debian, where this user may install them
	@deploy/system-packages.sh

contracts: setup-test ## write the generated contracts, dashboard included
	$(BIN)/penchant schema
	$(BIN)/python deploy/grafana/dashboard.py

bench: setup-test ## throughput, freshness, memory and cost against peers (long)
	$(BIN)/penchant bench all

reader: setup-test ## train the embedded reader anew on the gold set, and make its suggestions to the model (two hours on two cores)
	$(BIN)/python -m inference.embedded.fit
	$(BIN)/python -m inference.training.crossfit

faults: setup-test ## seeded fault schedules on real parts (long)
	$(BIN)/python -m tests.faults

soak: setup-test ## 35 minutes of load with faults: memory and latency stay flat
	$(BIN)/python -m tests.faults.soak

fuzz: setup-test ## a million bad inputs through decoder, store and parser (long)
	$(BIN)/python -m tests.faults.fuzz

fuzz-coverage: setup-test ## a coverage-guided fuzzer on decoder, model answers and web page (minutes)
	$(PIP) install -q -c $(CONSTRAINTS) -e '.[fuzz]'
	$(BIN)/python -m tests.faults.coverage

include deploy/vllm/model.mk

clean: ## remove what make set up
	rm -rf $(VENV) build dist *.egg-info
