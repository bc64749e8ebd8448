# Every target makes what it needs, .venv included. `make` alone lists them.
PY := .venv/bin/python
PORT ?=
HOST ?= localhost
CONFIG ?= lung
DATA ?=
ARGS ?=
export PYTHON CPU

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help app test lint format bench soak train lock audit clean runtime dev

help: ## list the targets
	@sed -n 's/^\([a-z]*\):[^#]*## /\1\t/p' Makefile | awk -F '\t' '{ printf "make %-8s %s\n", $$1, $$2 }'

app: runtime ## open the dashboard in the browser (PORT=8501 HOST=localhost ARGS="--server.headless true")
	@$(PY) -m streamlit run dashboard/Home.py --server.address $(HOST) $(if $(PORT),--server.port $(PORT)) $(ARGS)

test: dev ## run all tests, browser tests included (ARGS="-k name")
	@$(PY) -m tests.browser
	@$(PY) -m pytest -q -n 2 --dist loadfile $(ARGS)

lint: dev ## check style and form
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

format: dev ## put code in form
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

bench: dev ## measure speed and memory against peers; writes docs/performance.md (ARGS="--rounds 5")
	@$(PY) -m tests.bench $(ARGS)

soak: dev ## load a public server with visitors, then check what it holds (ARGS="--minutes 10 --visitors 30")
	@$(PY) -m tests.browser
	@$(PY) -m tests.soak $(ARGS)

train: runtime ## train a model (DATA="DIR ..." CONFIG=lung|paper ARGS="--epochs 10")
ifeq ($(strip $(DATA)),)
	@echo 'Say what to train on: make train DATA="DIR ..." [CONFIG=lung|paper] [ARGS="--epochs 10"]'
	@echo 'DIR holds train/CLASS and test/CLASS, or folders of images with a manifest.csv (see README.md).'
	@exit 2
else
	@$(PY) -m core train --data $(DATA) --config $(CONFIG) $(ARGS)
endif

lock: build/tools/bin/uv ## resolve and hash what the container installs, after a change of dashboard/requirements.txt
	@$< pip compile dashboard/requirements.txt --output-file deploy/requirements.lock --quiet --generate-hashes \
	  --python-version 3.11 --python-platform linux --no-header --no-annotate

audit: build/tools/bin/uv ## ask PyPI for known weaknesses of the packages that the container installs
	@build/tools/bin/pip-audit --strict --disable-pip --no-deps --requirement deploy/requirements.lock

build/tools/bin/uv:
	@python3 -m venv build/tools
	@build/tools/bin/python -m pip install --quiet uv==0.13.9 pip-audit==2.10.1

clean: ## remove caches, screenshots and other by-products (.venv and trained runs stay)
	@rm -rf .pytest_cache .ruff_cache .hypothesis build data/cache tests/screenshots
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

runtime:
	@.ci/venv requirements.txt

dev: runtime
	@.ci/venv requirements-dev.txt
