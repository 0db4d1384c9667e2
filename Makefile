# `make demo` and `make test` work on a fresh machine with Python 3.11 or newer; each installs what it needs first.
PYTHON ?= python3
# Where pip finds torch besides the package index: PyTorch's own index of CPU builds saves gigabytes of CUDA.
TORCH_INDEX ?=
KILLS ?= 200
PROMOTIONS ?= 100

BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock

.PHONY: demo setup test check format bench campaign swaps walk article clean
.DELETE_ON_ERROR:

demo: .venv/daemon ## see it trade, offline
	$(BIN)/hourhand demo

setup: .venv/all ## everything: daemon, training, tests

test: .venv/all
	$(BIN)/python -m pytest -q --numprocesses auto --dist loadfile

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

swaps: .venv/all ## promote and roll back PROMOTIONS models, bad ones among them, under a daemon that is killed meanwhile
	$(BIN)/python -m tests.swap_campaign --promotions $(PROMOTIONS)

walk: .venv/all ## a year of CANDLES=file walked forward into OUT=folder: the daemon, and a round of refresh each month
	$(BIN)/python -m tests.walk --candles $(CANDLES) --out $(or $(OUT),var/walk)

.venv/python:
	$(PYTHON) -m venv .venv
	touch $@

.venv/daemon: .venv/python pyproject.toml requirements.lock
	$(PIP) --editable .
	touch $@

.venv/all: .venv/daemon
	$(PIP) $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) "torch==$$(sed -n 's/^torch==//p' requirements.lock)"
	$(PIP) --editable ".[dev,notify,parquet,postgres,training]"
	touch $@

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
