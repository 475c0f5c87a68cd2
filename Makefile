# `make help` lists all commands.
PYTHON ?= python3
VENV   ?= .venv
SEEDS  ?= 20
CASES  ?= 200000
KILLS  ?= 20
HISTORIES ?= 2000
STATES ?= 200
RECORDS ?= 1000000
WORKERS ?= 3
TESTS  ?= $(addprefix tests/,acceptance integration contracts unit)
DIST   ?= dist
# The exit status of pytest when a group has none of the chosen tests.
NO_TESTS := 5
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
DEMO_READY := $(VENV)/.demo-ready
PIN    := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--custom-compile-command "make requirements"

.PHONY: help check lint test test-slow demo bench fire fuzz chain replica state-fire snapshot mutants gauges screenshots docs docs-serve dist deb image helm requirements sbom stubs reference format clean
.DEFAULT_GOAL := help

help: ## list these commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

# Debian's python3 does not contain the module venv.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Streamer needs Python 3.11 or newer; name one with PYTHON=…")'
	@$(PYTHON) -m ensurepip --version >/dev/null 2>&1 || { [ "$$(id -u)" = 0 ] && apt-get -q update && apt-get -q -y install python3-venv; } || \
		{ echo "Python's venv module is missing; in Debian: apt-get install python3-venv"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(READY): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing Streamer and what its tests need into $(VENV): this takes about a minute, once."
	@$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev,otel]'
	@touch $@ $(DEMO_READY)

# An installation for development has everything that the demo needs.
$(DEMO_READY): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing Streamer into $(VENV), once. Then the demo starts: Ctrl-C ends it."
	@$(BIN)/pip install --disable-pip-version-check --progress-bar off --constraint constraints.txt --editable . | \
		sed -n -E 's/^Collecting ([^ ]*).*/  \1/p; s/^Successfully installed.*/Installed./p'
	@test -x $(BIN)/streamer && touch $@

lint: $(READY) ## ruff, mypy and import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: export NO_MKDOCS_2_WARNING = 1
docs: $(READY) ## build the documentation as a site into site/
	$(BIN)/mkdocs build --strict --quiet $(ARGS)
	@echo "Built site/. Any web server can serve it: make docs-serve, or python3 -m http.server --directory site"

docs-serve: export NO_MKDOCS_2_WARNING = 1
docs-serve: $(READY) ## serve the documentation at http://127.0.0.1:8000, and build it again after each change; ARGS="-a HOST:PORT"
	$(BIN)/mkdocs serve $(ARGS)

# The archives contain the date of the last commit, so that they are the same on every machine and at any time.
dist deb: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 1580601600)
dist: $(READY) ## build the wheel and the source distribution into dist/, with the same bytes for the same commit
	$(BIN)/python -m build --installer uv --outdir $(DIST)

deb: dist ## build the Debian package into dist/; ARGS="--python 3.13 --architecture arm64"
	$(BIN)/python -m tools.packaging.debian $(DIST) $(ARGS)

image: $(READY) ## build the image with Buildah on Debian's Python, without a registry of images
	$(BIN)/python -m tools.container_image $(DIST)/streamer.tar

helm: $(READY) ## test the Helm chart with Helm 3, which Go builds once in 5 minutes; `make test` uses Helm 4
	@$(BIN)/python -m tools.system_packages
	$(BIN)/python -m tools.go_programs $(BIN)/pytest tests/integration/deployment/test_helm.py

requirements: $(READY) ## write the packages of the image with their hashes, in the versions of constraints.txt
	$(PIN) --extra otel --constraint constraints.txt --output-file requirements.txt pyproject.toml
	@$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"])' | \
		$(PIN) --output-file requirements-build.txt -

sbom: $(READY) ## write a CycloneDX bill of materials of the image's packages into dist/
	@mkdir -p $(DIST)
	$(BIN)/cyclonedx-py requirements requirements.txt --pyproject pyproject.toml --output-reproducible \
		--output-file $(DIST)/sbom.cdx.json

stubs: $(READY) ## write the Python modules of the Pub/Sub API's messages from streamer/eventbus/pubsub_api.proto
	$(BIN)/uv run --quiet --no-project --python $(BIN)/python --with 'grpcio-tools==1.74.0' \
		python -m grpc_tools.protoc -I . --python_out=. --pyi_out=. streamer/eventbus/pubsub_api.proto

screenshots: $(READY) ## draw the pictures of docs/console.md in Chromium
	@$(BIN)/python -m tools.system_packages
	@mkdir -p docs/images
	STREAMER_SCREENSHOTS=$(CURDIR)/docs/images $(BIN)/pytest tests/integration/console --quiet

reference: $(READY) ## write the pages, the schema, the dashboard and the manifests that follow from the code
	$(BIN)/python -m tools.configuration_reference
	$(BIN)/python -m tools.command_reference
	$(BIN)/python -m tools.packaging
	$(BIN)/python -m tools.architecture_reference
	$(BIN)/python -m tools.monitoring.metrics_reference
	$(BIN)/python -m tools.monitoring.grafana
	$(BIN)/python -m tools.monitoring.operator_rules

format: $(READY) ## format the code, and fix what the linters can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The tests start hundreds of daemons. Without stored bytecode, each daemon would compile all of Streamer.
test test-slow: export PYTHONDONTWRITEBYTECODE =
# Tests that mostly wait come first, and run side by side.
test: $(READY) ## run every test, on real servers that it installs and starts; TESTS="tests/unit/log" runs a part
	@$(BIN)/python -m tools.system_packages
	$(BIN)/pytest -m "not heavy and not alone" --numprocesses $(WORKERS) $(TESTS)
	$(BIN)/pytest -m heavy --numprocesses 2 $(TESTS) || [ $$? = $(NO_TESTS) ]
	$(BIN)/pytest -m alone $(TESTS) || [ $$? = $(NO_TESTS) ]

test-slow: $(READY) ## run the tests beside eight busy loops, as on a machine that is several times slower
	@$(BIN)/python -m tools.system_packages
	$(BIN)/python -m tests.busy_loops make test WORKERS=$(WORKERS) TESTS="$(TESTS)"

ifeq ($(LOG),kafka)
demo: $(READY)
else
demo: $(DEMO_READY)
endif
demo: ## show the whole flow, live in this terminal; LOG=kafka keeps the log in a real Kafka
ifeq ($(LOG),kafka)
	@$(BIN)/python -m tools.system_packages
	@$(BIN)/python -m tools.kafka.broker exec -- sh -c '$(BIN)/streamer demo --kafka "$$STREAMER_KAFKA" $(ARGS)'
else
	@$(BIN)/streamer demo $(ARGS)
endif

bench: $(READY) ## measure Streamer and other programs in the same run, on a real Kafka; ARGS="--only drain,deliveries --rounds 5 --json FILE"
	@$(BIN)/python -m tools.system_packages
	@$(BIN)/python -m tools.kafka.broker exec -- $(BIN)/python -m tests.bench $(ARGS)

fire: $(READY) ## run the fault bench on a real Kafka: SEEDS=20 trials, or ARGS="--seed N --keep DIR"
	@$(BIN)/python -m tools.system_packages
	@$(BIN)/python -m tests.acceptance.fire --seeds $(SEEDS) $(ARGS)

fuzz: $(READY) ## send CASES=200000 random inputs, and all hostile inputs, to every part that reads bytes from outside
	FUZZ_CASES=$(CASES) $(BIN)/pytest $(addprefix tests/acceptance/test_fuzz,.py _readings.py _shapes.py) --numprocesses 3 --dist worksteal

chain: $(READY) ## kill a daemon KILLS=20 times along a chain of subscribers, with SQLite and with a real Kafka
	@$(BIN)/python -m tools.system_packages
	CHAIN_KILLS=$(KILLS) $(BIN)/pytest tests/acceptance/test_chain.py --numprocesses 2

replica: $(READY) ## play HISTORIES=2000 random histories of an org, and compare the org with a replica built from the log
	REPLICA_HISTORIES=$(HISTORIES) $(BIN)/pytest tests/acceptance/test_replica.py --numprocesses 2

state-fire: $(READY) ## play STATES=200 random histories of an org, and compare the org with the states of its records
	@$(BIN)/python -m tools.system_packages
	STATE_HISTORIES=$(STATES) $(BIN)/pytest tests/acceptance/test_state.py --numprocesses 2
	@$(BIN)/python -m tests.acceptance.state_fire --seeds $(STATES)

snapshot: $(READY) ## take a snapshot of RECORDS=1000000 records that change meanwhile; print time, rate, memory and differences
	@$(BIN)/python -m tests.acceptance.volume --records $(RECORDS)

mutants: $(READY) ## break copies of Streamer on purpose, and check that the tests notice it
	@$(BIN)/python -m tools.system_packages
	@$(BIN)/python -m tests.acceptance.fire.mutations

gauges: $(READY) ## count files and lines, and the files that one event passes; ARGS="--detail"
	@$(BIN)/python -m tools.gauges $(ARGS)

check: lint test ## run everything that CI runs

clean: ## remove the environment and caches
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
