.DEFAULT_GOAL := help
SHELL := /bin/bash
RUN := .venv/bin

.PHONY: help
help:  ## Show this list.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 16

.PHONY: setup
setup: .venv/.complete  ## Make .venv from uv.lock; brings uv where it is missing.

.venv/.complete: pyproject.toml uv.lock
	@command -v uv >/dev/null || python3 -m pip install --quiet uv
	$$(command -v uv || echo python3 -m uv) sync --locked --all-extras --quiet
	$(RUN)/python -m compileall -q prodml components
	@touch $@

.PHONY: databases
databases:  ## Install PostgreSQL and MariaDB from Debian, where they are missing: the tests start both.
	@tests/support/install_databases.sh

.PHONY: test
test: setup lint types layers  ## Lint, types, layer contracts and tests: what CI runs.
	@tests/support/install_databases.sh || test "$$CI" != true
	tests/support/run_tests.sh

.PHONY: lint
lint: setup  ## Check style.
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .

.PHONY: types
types: setup  ## Check types, strictly.
	$(RUN)/mypy

.PHONY: layers
layers: setup  ## Check that no layer imports what it must not.
	$(RUN)/lint-imports

ACTIONLINT := github.com/rhysd/actionlint/cmd/actionlint@v1.7.7

.PHONY: workflows
workflows:  ## Check the GitHub workflows with actionlint; needs Go.
	go run $(ACTIONLINT)

.PHONY: demo
demo: setup  ## Three months of flights: from raw data to a pushed model that answers.
	$(RUN)/python examples/flights/prepare.py --output data/flights --months 1-3
	$(RUN)/prodml run pipelines/flights.py --config configs/local.yaml --param data_root=data/flights
	$(RUN)/python examples/flights/predict.py
	$(RUN)/prodml artifacts --config configs/local.yaml --limit 40

.PHONY: bench
bench: setup  ## Measure against TFX 1.16 on this machine; takes long.
	tests/benchmarks/setup_peer.sh
	$(RUN)/python tests/benchmarks/run.py

.PHONY: bench-store
bench-store: setup  ## Measure a metadata store of 10,000 runs beside one of 20.
	$(RUN)/python tests/benchmarks/many_runs.py

.PHONY: bench-serving
bench-serving: setup  ## Measure the model server under load, beside a hostile client, then two minutes of swaps.
	$(RUN)/python tests/benchmarks/serving_load.py
	$(RUN)/python tests/benchmarks/serving_load.py --hostile
	$(RUN)/python tests/benchmarks/serving_load.py --soak 2

.PHONY: fuzz
fuzz: setup  ## Send the model server wrong requests, thirty times as many as the tests do.
	FUZZ_EXAMPLES=5000 $(RUN)/pytest tests/integration/serving/test_fuzz_grpc.py tests/integration/serving/test_fuzz_rest.py

.PHONY: properties
properties: setup  ## Try the property tests on a thousand new examples each.
	PROPERTY_EXAMPLES=other $(RUN)/pytest tests/unit

.PHONY: beam-tests
beam-tests: setup  ## Run Beam's own tests on the local runner and on FnApiRunner, and compare; an hour.
	PYTHONPATH=tests $(RUN)/python tests/beam_suite/compare.py

.PHONY: kill-sweep
kill-sweep: setup  ## Kill runs at every point and flights 200 times, resume, check; half an hour.
	PYTHONPATH=tests $(RUN)/python tests/faults/kill_sweep.py --kills 220

.PHONY: flink spark prism
flink: setup  ## Start Flink on loopback: two task managers, Beam's job server, two pools of Python workers.
spark: setup  ## Start Spark on loopback: two workers, Beam's job server, two pools of Python workers.
prism: setup  ## Start Prism, Beam's runner in Go, on loopback, with a pool of Python workers.
flink spark prism:
	PYTHONPATH=tests $(RUN)/python -m clusters start $@

.PHONY: flink-stop spark-stop prism-stop
flink-stop: setup  ## End the Flink cluster.
spark-stop: setup  ## End the Spark cluster.
prism-stop: setup  ## End Prism.
flink-stop spark-stop prism-stop:
	PYTHONPATH=tests $(RUN)/python -m clusters stop $(@:-stop=)

.PHONY: flink-tests spark-tests prism-tests
flink-tests: setup  ## Test a Flink cluster of its own on this machine; downloads 600 MB the first time.
spark-tests: setup  ## Test a Spark cluster of its own on this machine; downloads 600 MB the first time.
prism-tests: setup  ## Test a Prism of its own on this machine; compiles it the first time.
flink-tests spark-tests prism-tests:
	$(RUN)/pytest tests/clusters/check_clusters.py -k $(@:-tests=)

.PHONY: audit
audit: setup  ## Tell known vulnerabilities of the locked packages; fails where an upgrade mends one.
	@mkdir -p build
	$$(command -v uv || echo python3 -m uv) export --frozen --all-extras --no-dev --no-emit-project --quiet -o build/requirements.txt
	$(RUN)/python tests/supply_chain/audit.py build/requirements.txt

.PHONY: sbom
sbom: setup  ## List what is installed as a CycloneDX file, build/sbom.json, validated.
	@mkdir -p build
	$(RUN)/cyclonedx-py environment .venv --pyproject pyproject.toml --mc-type library \
	  --output-reproducible --validate --of JSON -o build/sbom.json

.PHONY: conformance
conformance: setup  ## Compare a server with TF Serving's interface: SERVER=host:port REST=host:port, or our own.
	CONFORMANCE_SERVER=$(SERVER) CONFORMANCE_REST=$(REST) $(RUN)/pytest tests/conformance

.PHONY: conformance-models
conformance-models: setup  ## Write the models of `make conformance` to DIR, and print how to serve them.
	PYTHONPATH=tests $(RUN)/python tests/conformance/served.py $(or $(DIR),build/conformance)
