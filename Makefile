# Every command a person runs. `make help` lists them.

PYTHON ?= python3
VENV ?= .venv
JOBS ?= jobs
PORT ?= 8501
API ?= vertex
JOB := $(or $(JOB),babyweight_$(shell date +%Y%m%d_%H%M%S))
BUCKET ?= $(if $(DRY_RUN),gs://my-bucket)
CONFIG ?= config.yaml
MODEL ?= babyweight
VERSION ?= v1
INSTANCES ?= docs/examples/$(MODEL).json
CLOUD = --api $(API) $(if $(API_ENDPOINT),--api-endpoint $(API_ENDPOINT))
SERVED = $(foreach name,babyweight mnist,$(if $(wildcard $(JOBS)/$(name)/export),--model $(name)=$(JOBS)/$(name)))
RAW = data/natality/natality*
INPUT ?= $(RAW)
OUTPUT ?= data/births
REPORTED = $(or $(JOB_DIR),$(patsubst %/run.json,%,$(wildcard $(JOBS)/*/run.json)))
RUN = $(VENV)/bin/python -m

.DEFAULT_GOAL := help
.PHONY: help train test test-all check babyweight mnist distributed serve submit deploy tune preprocess report docs bench clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

train: babyweight mnist  ## set up, make sample data, train babyweight and MNIST, predict with both
	@echo
	@echo "The final SavedModels:" && ls -d $(JOBS)/*/export/final/*

test: $(VENV)/dev check  ## set up, run every check and test
	$(RUN) pytest

test-all: $(VENV)/dev check  ## the slow proofs too
	$(RUN) pytest -m ""

check: $(VENV)/dev  ## format, lint and types
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

babyweight: $(VENV)/installed  ## train babyweight on sample data
	$(RUN) trainer.task --experiment babyweight --job-dir $(JOBS)/babyweight
	@echo "A prediction, in pounds:"
	@$(RUN) trainer.predict --model-dir $(JOBS)/babyweight --json-instances docs/examples/babyweight.json --format table

mnist: $(VENV)/installed  ## train MNIST: the whole data set where there is a network, 5,000 digits else
	$(RUN) trainer.task --experiment mnist --job-dir $(JOBS)/mnist
	@echo "A prediction, for the image of a seven:"
	@$(RUN) trainer.predict --model-dir $(JOBS)/mnist --json-instances docs/examples/mnist.json --format table

distributed: $(VENV)/installed  ## train babyweight on chief, worker and evaluator, three processes here
	$(RUN) trainer.launch --workers 1 --evaluator -- --experiment babyweight --job-dir $(JOBS)/distributed
	@echo "A prediction, in pounds:"
	@$(RUN) trainer.predict --model-dir $(JOBS)/distributed --json-instances docs/examples/babyweight.json --format table

serve: $(VENV)/installed  ## serve the newest exports of make train, and a page to try them: http://127.0.0.1:8501/
	@test -n "$(SERVED)" || { echo "make: nothing to serve below $(JOBS)/; run make train first"; exit 1; }
	$(RUN) trainer.serve --port $(PORT) $(SERVED)

submit: $(VENV)/installed  ## send the job of config.yaml: BUCKET=gs://..., also DRY_RUN=1, API=ml, ARGS="--train-steps 2000"
	@test -n "$(BUCKET)" || { echo "make: BUCKET is not given; expected BUCKET=gs://..., where the job writes, or DRY_RUN=1"; exit 1; }
	$(RUN) trainer.submit train $(JOB) $(CLOUD) --config $(CONFIG) --job-dir $(BUCKET)/$(JOB) $(if $(DRY_RUN),--dry-run,--stream-logs)$(if $(ARGS), -- $(ARGS))

deploy: $(VENV)/installed  ## serve what a job exported: MODEL_DIR=gs://.../JOB, also MODEL=babyweight VERSION=v1 API=ml
	@test -n "$(MODEL_DIR)" || { echo "make: MODEL_DIR is not given; expected MODEL_DIR=gs://..., the job dir of a job"; exit 1; }
	$(RUN) trainer.submit deploy $(MODEL) $(CLOUD) --version $(VERSION) --model-dir $(MODEL_DIR)
	@echo "A prediction:"
	@$(RUN) trainer.submit predict $(MODEL) $(CLOUD) --json-instances $(INSTANCES) --format table

tune: $(VENV)/tune  ## search hyperparameters of babyweight on sample data: 12 short trials, two at a time
	$(RUN) trainer.tune --config docs/examples/tuning.yaml --job-dir $(JOBS)/tuned
	@echo "Train with what was found:"
	@echo "  $(RUN) trainer.task --experiment babyweight --job-dir $(JOBS)/best $$(cat $(JOBS)/tuned/best_flags.txt)"

preprocess: $(VENV)/beam  ## raw births to training files, on Apache Beam: INPUT='gs://.../*.csv' or bigquery:..., OUTPUT=DIR
	@test "$(INPUT)" != "$(RAW)" || ls $(RAW) > /dev/null 2>&1 || $(RUN) trainer.data natality --output data/natality
	$(RUN) trainer.preprocess babyweight --input '$(INPUT)' --output $(OUTPUT)

report: $(VENV)/installed  ## one HTML page of each job of make train, or of JOB_DIR=...
	@test -n "$(REPORTED)" || { echo "make: nothing to report below $(JOBS)/; run make train first, or give JOB_DIR=..."; exit 1; }
	@for job_dir in $(REPORTED); do $(RUN) trainer.report --job-dir $$job_dir --output $$job_dir/report.html || exit 1; done

docs: $(VENV)/dev  ## the documentation as HTML, in docs/_build/html
	$(RUN) sphinx -W --keep-going -E -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

bench: $(VENV)/dev  ## our speed beside the peers', in one run
	$(RUN) benchmarks.run

clean:  ## remove the environment, the sample data and the jobs
	rm -rf $(VENV) .peers $(JOBS) build dist *.egg-info data/babyweight data/mnist data/natality data/births docs/_build

$(VENV)/installed: setup.py
	@command -v $(PYTHON) > /dev/null || { echo "make: $(PYTHON) is not installed; Python 3.10 to 3.12 is needed"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' || { \
		echo "make: $$($(PYTHON) --version) does not do; run it with PYTHON=python3.12, or any of 3.10 to 3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(RUN) pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/tune $(VENV)/beam: $(VENV)/installed
	$(RUN) pip install --quiet --disable-pip-version-check -e '.[$(notdir $@)]'
	touch $@

$(VENV)/dev: $(VENV)/installed
	$(RUN) pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@
