# Everything runs in a virtual environment that these targets make and keep up to date: only Python 3.11+ is needed.
#
#   make test ARGS="-k claim -x"                                      pass arguments to pytest
#   make test PYTHON=python3.13 VENV=.venv-3.13 DJANGO='Django~=6.1.0'  another Python, another Django

PYTHON ?= python3
VENV   ?= .venv
DJANGO ?=
ARGS   ?=
# Tests mostly wait for processes that they have started: four at a time keep two cores busy.
TESTS_AT_ONCE ?= 4
# They start hundreds of them: what each would compile anew is kept, though a container's environment may say otherwise.
unexport PYTHONDONTWRITEBYTECODE

bin     := $(VENV)/bin
pip     := $(bin)/python -m pip -qq --disable-pip-version-check
django  := $(VENV)/.django
runtime := $(VENV)/.runtime
dev     := $(VENV)/.dev
pytest  := $(bin)/python -m pytest --numprocesses $(TESTS_AT_ONCE) --dist worksteal

.PHONY: help demo test test-mysql coverage mutation chaos bench lint docs clean FORCE

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(runtime)  ## run the example project: a queue, a worker and some jobs
	@$(bin)/python -m example_project.demo

test: $(dev)  ## run the whole suite, on SQLite and on PostgreSQL
	JOBQUEUE_TEST_DATABASE=sqlite $(pytest) $(ARGS)
	JOBQUEUE_TEST_DATABASE=postgresql $(pytest) $(ARGS)

test-mysql: $(dev)  ## run what speaks to the database, on a MariaDB, if there is one; see CONTRIBUTING.md
	JOBQUEUE_TEST_DATABASE=mysql $(pytest) -m 'not slow or also_on_mysql' $(or $(ARGS),@tests/on_mysql.txt) || test $$? -eq 77

coverage: $(dev)  ## run it once more, and show which lines no test reaches
	JOBQUEUE_TEST_DATABASE=sqlite $(pytest) --cov --cov-report= $(ARGS)
	JOBQUEUE_TEST_DATABASE=postgresql $(pytest) --cov --cov-append --cov-report=term:skip-covered $(ARGS)

mutation: $(dev)  ## take each guard out of the source once, and tell of those that no test misses; ARGS="settling" for some
	$(bin)/python -m tests.mutation $(ARGS)

# Faults are timed in seconds: one trial at a time, on a machine that does nothing else.
CHAOS_RUNS  ?= 200
CHAOS_SEEDS ?= 3

chaos: $(dev)  ## let faults of all kinds befall workers and databases, and write benchmarks/CHAOS.md
	$(bin)/python -m tests.chaos.report --runs $(CHAOS_RUNS) --seeds $(CHAOS_SEEDS) --write benchmarks/CHAOS.md $(ARGS)

bench: $(dev)  ## measure, on a machine that does nothing else, and write benchmarks/RESULTS.md; ARGS="drain add" for some
	$(bin)/python -m benchmarks.report --write benchmarks/RESULTS.md $(ARGS)

lint: $(dev)  ## check style, types and layers
	$(bin)/ruff check
	$(bin)/ruff format --check
	DJANGO_SETTINGS_MODULE=tests.settings $(bin)/mypy
	DJANGO_SETTINGS_MODULE=example_project.config.settings $(bin)/mypy --cache-dir .mypy_cache/example_project example_project
	$(bin)/lint-imports

docs: $(dev)  ## build the documentation, into docs/_build/html
	$(bin)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

clean:  ## remove everything that these targets made
	rm -rf $(sort $(VENV) .venv) .venv-* .nox .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist docs/_build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment grows in two steps: what the package needs to run, then what its development needs.
# Each step is repeated when pyproject.toml or the wanted Django changes.

$(bin)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=...")'
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)

$(django): $(bin)/python FORCE
	@echo '$(DJANGO)' | cmp -s - $@ || echo '$(DJANGO)' > $@

$(runtime): pyproject.toml $(django)
	@echo "Installing django-jobqueue $(DJANGO)"
	@$(pip) install --upgrade 'pip>=25.1'  # older ones know no dependency groups
	@$(pip) install --editable . $(if $(DJANGO),'$(DJANGO)')
	@touch $@

$(dev): $(runtime)
	@echo "Installing what its development needs"
	@$(pip) install --group dev $(if $(DJANGO),'$(DJANGO)')
	@touch $@
