# Works on a bare machine: everything goes into .venv, from the lock files.
# PYTHON=python3.13 make test    uses another Python, 3.11 or later

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet --no-input
COMPILE = pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--custom-compile-command "make lock"

.DELETE_ON_ERROR:
.PHONY: help demo test check bench soak lock manual docs

help:
	@echo 'make demo    move a tree to an S3 server on this machine and back'
	@echo 'make test    run all tests (make test ARGS=tests/unit runs some, ARGS=-n0 one at a time)'
	@echo 'make check   lint, format, types, import contracts'
	@echo 'make bench   race the peers on this machine (make bench ARGS=--quick for a glance)'
	@echo 'make soak    move trees through faults and kills (make soak ARGS="--minutes 1 --seed 7")'
	@echo 'make manual  write the manual page, completions and docs/commands.md anew from the command line'
	@echo 'make docs    build the site in docs/_build'
	@echo 'make lock    choose the newest allowed versions anew, with hashes'

demo: $(VENV)/.users
	$(BIN)/sealift demo $(ARGS)

test: $(VENV)/.developers
	$(BIN)/python -m pytest -n 4 --dist worksteal $(ARGS)

check: $(VENV)/.developers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy examples
	$(BIN)/lint-imports

bench: $(VENV)/.developers
	$(BIN)/python -m benchmarks $(ARGS)

soak: $(VENV)/.developers
	$(BIN)/python -m tests.soak $(ARGS)

manual: $(VENV)/.developers
	$(BIN)/python -m tests.packaging.manual
	$(BIN)/python -m tests.docs.reference

docs: $(VENV)/.developers
	$(BIN)/python -m sphinx -W -q -b dirhtml docs docs/_build

# A stamp is younger than what it was made from, or it is made again.
$(VENV)/.users: requirements.lock pyproject.toml | $(BIN)/python
	$(PIP) install --require-hashes -r requirements.lock
	$(PIP) install --no-deps -e .
	@touch $@

$(VENV)/.developers: requirements-dev.lock pyproject.toml | $(BIN)/python
	$(PIP) install --require-hashes -r requirements-dev.lock
	$(PIP) install --no-deps -e .
	@touch $@ $(VENV)/.users

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo 'sealift needs Python 3.11 or later, and $(PYTHON) is not: make PYTHON=python3.13' >&2; \
		exit 1; }
	$(PYTHON) -m venv $(VENV)

# uv resolves for all systems and Pythons at once; what developers get includes what users get.
lock:
	@directory=$$(mktemp -d) && trap 'rm -rf "$$directory"' EXIT && \
	$(PYTHON) -m venv "$$directory" && \
	"$$directory/bin/python" -m pip --disable-pip-version-check --quiet --no-input install uv && \
	"$$directory/bin/uv" $(COMPILE) --upgrade --extra demo pyproject.toml -o requirements.lock && \
	"$$directory/bin/uv" $(COMPILE) --upgrade --extra demo --extra dev --constraint requirements.lock \
		pyproject.toml -o requirements-dev.lock
