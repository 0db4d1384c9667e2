# `make demo` and `make test` work on a fresh machine with Python 3.11 or newer; each installs what it needs first.
PYTHON ?= python3
# Where pip finds torch besides the package index: PyTorch's own index of CPU builds saves gigabytes of CUDA.
TORCH_INDEX ?=
KILLS ?= 200
PROMOTIONS ?= 100
BARS ?= 8760

SHIPPED := $(or $(OUT),runs/shipped)

BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
TORCH := $(PIP) $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) --requirement requirements-torch.txt
THIS := $(PIP) --no-deps --no-build-isolation --editable .
PYTEST := $(BIN)/python -m pytest -q --numprocesses auto --dist loadfile
REGISTRY := $(BIN)/python -c "from pathlib import Path; from bot.model import provide_shipped; provide_shipped(Path('models/current'))"
COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	--no-emit-package torch --constraint requirements-torch.txt

NEEDS_CANDLES := $(filter article model walk,$(MAKECMDGOALS))
ifneq ($(NEEDS_CANDLES),)
ifeq ($(CANDLES),)
$(error make $(NEEDS_CANDLES) needs a file of candles: make $(NEEDS_CANDLES) CANDLES=btcusd.parquet)
endif
endif

.PHONY: docs pictures demo setup test test-slow test-all coverage check format bench campaign load screenshots swaps soak walk \
	article model lock clean
.DELETE_ON_ERROR:

demo: .venv/daemon ## see it trade, offline
	$(BIN)/hourhand models list
	$(BIN)/hourhand demo

setup: .venv/all ## everything: daemon, training, tests
	$(BIN)/hourhand models list

test: .venv/all ## everything but what is slow
	$(PYTEST) -m "not slow"

test-slow: .venv/all ## killed daemons, the report in a browser, the commands in the documents, a small soak
	$(PYTEST) -m slow

test-all: test test-slow ## every test

docs: .venv/all ## the documentation as a site, into var/site
	$(BIN)/python -m mkdocs build

pictures: .venv/all ## the demo and the report as the documents show them (needs chromium)
	$(BIN)/python -m tests.pictures

coverage: .venv/all ## which lines the tests run, those of the daemons that they start too
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -q --numprocesses auto --dist loadfile -m "not slow"
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

check: .venv/all
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/all
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/daemon ## decision latency, replay speed, memory, start-up
	$(BIN)/python -m tests.bench

campaign: .venv/all ## kill the daemon at KILLS random moments and compare its ledger with a replay
	$(BIN)/python -m tests.campaign --kills $(KILLS)

article: .venv/all ## the article's whole experiment on CANDLES=file, with its charts, into OUT=folder
	$(BIN)/hourhand-train article --candles $(CANDLES) --out $(or $(OUT),var/article)

model: .venv/all ## the model that is shipped, with its walk-forward figures, from CANDLES=file, into OUT=folder
	$(BIN)/hourhand-train train --candles $(CANDLES) --out $(SHIPPED) --seed 0 --threads $(shell nproc)
	$(BIN)/hourhand-train walkforward --candles $(CANDLES) --folds 2019,2020,2021,2022 --seeds 5 --out $(SHIPPED).lab \
		--model $(SHIPPED)

swaps: .venv/all ## promote and roll back PROMOTIONS models, bad ones among them, under a daemon that is killed meanwhile
	$(BIN)/python -m tests.swap_campaign --promotions $(PROMOTIONS)

soak: .venv/all ## BARS simulated hours under faults that come and go at random
	$(BIN)/python -m tests.soak --bars $(BARS)

load: .venv/all ## 50 streams and 20 requests a second for a minute, beside a daemon that has its bars to decide
	$(BIN)/python -m tests.load

screenshots: .venv/all ## pictures of the page and the report at two widths, light and dark, into var/screenshots (needs chromium)
	$(BIN)/python -m tests.screenshots

walk: .venv/all ## a year of CANDLES=file walked forward into OUT=folder: the daemon, and a round of refresh each month
	$(BIN)/python -m tests.walk --candles $(CANDLES) --out $(or $(OUT),var/walk)

.venv/python:
	$(PYTHON) -m venv .venv
	touch $@

.venv/daemon: .venv/python pyproject.toml requirements-daemon.lock
	$(PIP) --require-hashes --no-deps --requirement requirements-daemon.lock
	$(THIS)
	$(REGISTRY)
	touch $@

.venv/all: .venv/python pyproject.toml requirements.lock requirements-torch.txt
	$(PIP) --require-hashes --no-deps --requirement requirements.lock
	$(TORCH)
	$(THIS)
	$(REGISTRY)
	touch .venv/daemon $@

lock: ## pin anew what pyproject.toml asks for (needs uv); delete a line of a lock first to have that package updated
	$(COMPILE) --all-extras --output-file requirements.lock pyproject.toml
	printf 'hatchling\neditables\n' | $(COMPILE) --constraint requirements.lock --extra notify --extra postgres --extra web \
		--output-file requirements-daemon.lock pyproject.toml -
	printf 'hatchling\neditables\n' | $(COMPILE) --constraint requirements.lock --extra notify --extra postgres --extra web \
		--extra training --output-file requirements-training.lock pyproject.toml -

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*
