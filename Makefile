.PHONY: setup demo test check bench compile failure-modes calibrate pictures clean
.PHONY: stack-programs stack-up stack-down stack-env stack-status test-stack
PYTHON ?= python3.11
BIN := .venv/bin
DEMO := exp_checkout_button_001

.venv/runtime: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

.venv/dev: requirements-dev.lock .venv/runtime
	$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements-dev.lock
	touch $@

setup: .venv/runtime  ## a virtual environment with `exp` in it

demo: setup  ## raw data to a decision memo, embedded
	$(BIN)/python -m exp_platform.pipelines.run_end_to_end --config configs/dev.yaml \
		--experiment-id $(DEMO) --generate-synth

test: .venv/dev  ## all tests
	$(BIN)/python -m pytest -q -n 2 --dist loadgroup

check: .venv/dev  ## format, lint, types, layers, compiled SQL
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m exp_platform.metrics.compile_models --check
	$(BIN)/python -m exp_platform.metrics.definition_schema --check

compile: .venv/dev  ## plain SQL of the dbt models, schema of the definitions
	$(BIN)/python -m exp_platform.metrics.compile_models
	$(BIN)/python -m exp_platform.metrics.definition_schema

failure-modes: setup  ## run every failure mode and write docs/failure-modes.md
	$(BIN)/python -m exp_platform.pipelines.failure_modes --config configs/dev.yaml \
		--output docs/failure-modes.md

calibrate: setup  ## measure every method's error rates and write docs/calibration.md
	$(BIN)/python -m exp_platform.pipelines.calibrate --output docs/calibration.md

pictures: .venv/dev  ## draw docs/images/methods from the worked examples
	$(BIN)/python docs/pictures/make.py

bench: .venv/dev  ## the main job beside a hand-written floor
	$(BIN)/python bench/main_job.py

.venv/stack: requirements-stack.lock .venv/dev
	$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements-stack.lock
	touch $@

S3 := versitygw

stack-programs: .venv/dev  ## build and fetch what the stack runs
	$(BIN)/python -m infra.stack prepare --s3 $(S3)

stack-up: .venv/stack  ## PostgreSQL, an S3 server (S3=versitygw or minio) and Trino
	$(BIN)/python -m infra.stack up --s3 $(S3)

stack-down:  ## stop them; their data stay in .stack
	$(BIN)/python -m infra.stack down

stack-status:
	$(BIN)/python -m infra.stack status

stack-env:  ## eval "$$(make -s stack-env)" sets what configs/stack.yaml reads
	@$(BIN)/python -m infra.stack env

test-stack: .venv/stack  ## the tests that need a stack, on one of their own
	STACK_PYTHON=$(BIN)/python infra/test_stack.sh

clean:
	rm -rf .venv data dist dbt/target dbt/logs .mypy_cache .ruff_cache .pytest_cache
