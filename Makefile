# The front door. `make help` lists everything; `make run` and `make test` need nothing but Python 3.11.
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
comma := ,
export RAY_AUTH_MODE ?= disabled
export RAY_USAGE_STATS_ENABLED ?= 0
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help setup run test check bench bench-features bench-fetch bench-model canary chaos-fetch corruption docs clean bench-sweep

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

# Python modules and numba's kernels are compiled side by side; a few templates among the former are no Python.
define install
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(v != (3, 11) and f"Heliograph needs Python 3.11, found {v[0]}.{v[1]}: install it or run make PYTHON=/path/to/python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing Heliograph into .venv (once; about three minutes)"
	@$(BIN)/python -m pip install --quiet --no-compile torch==2.13.0
	@$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.$(1)'
	@$(BIN)/python -m compileall -qq .venv/lib & $(BIN)/python -m heliograph.features.ahead && wait
	@touch $@
endef

.venv/.base: pyproject.toml constraints.txt
	$(call install)

.venv/.dev: pyproject.toml constraints.txt
	$(call install,[dev$(comma)deepspeed])
	@touch .venv/.base

setup: .venv/.base ## make .venv with everything that runs need (cached)

run: .venv/.base ## the main job: sandbox, fetch, features, train, backtest, serve, trade; report in var/
	@$(BIN)/helio demo

test: check ## set up and run every check and test
	@$(BIN)/python -m pytest -q -m "not e2e" -n 2 --dist loadfile --durations=8
	@$(BIN)/python -m pytest -q -m e2e -n 2 --dist loadfile --no-loadscope-reorder --durations=8

check: .venv/.dev ## format, lint, types, import rule
	@$(BIN)/ruff format --quiet --check . && $(BIN)/ruff check --quiet . && $(BIN)/mypy && $(BIN)/lint-imports

bench: .venv/.dev ## measure; JSON lines with a `check` key (see tests/bench/README.md)
	@for script in features lake engine speed; do PYTHONPATH=platform:. $(BIN)/python tests/bench/$$script.py || exit 1; done

bench-features: .venv/.dev ## the feature engine beside its peers: batch, live, resample, align, tiles
	@for script in features align tiles; do PYTHONPATH=platform:. $(BIN)/python tests/bench/$$script.py || exit 1; done

bench-sweep: .venv/.dev ## what Ray adds to a trial on 2 and 4 workers
	@PYTHONPATH=platform:. $(BIN)/python tests/bench/sweep.py

bench-fetch: .venv/.dev ## the download beside its limits and peers: saturation, speed, plan, scale, eta, storage, read, archive
	@PYTHONPATH=platform:. $(BIN)/python tests/bench/fetch.py
	@PYTHONPATH=platform:. $(BIN)/python tests/bench/archive.py
	@PYTHONPATH=platform:. $(BIN)/python tests/bench/lake.py storage read verify

KILLS ?= 200
chaos-fetch: .venv/.dev ## kill -9 at KILLS random points of a download, then compare the lake with the tape
	@PYTHONPATH=platform:. $(BIN)/python tests/bench/chaos.py $(KILLS)

bench-model: .venv/.dev ## all forecasters by one protocol: skill, ablation, calibration, confidence, speed; ARGS='--quick' …
	@PYTHONPATH=platform:. $(BIN)/python tests/bench/model.py $(ARGS)

SEEDS ?= 20
canary: .venv/.dev ## no edge claimed on SEEDS of noise, planted edges found, a leaking split seen
	@PYTHONPATH=platform:. $(BIN)/python tests/bench/canary.py $(SEEDS)

corruption: .venv/.dev ## injected corruption found, and false alarms on recorded candles
	@PYTHONPATH=platform:. $(BIN)/python tests/bench/corruption.py $(SEEDS)

docs: .venv/.dev ## make docs/reference again from the code
	@$(BIN)/python -m heliograph.cli.reference

clean: ## remove what runs have made (var/), keep .venv
	rm -rf var
