# make install | demo | test | native | wheel | web | clean.  The first two words of a newcomer: make demo, make test.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check
NATIVE := CMakeLists.txt $(shell find native -type f)

.PHONY: install demo test lint types native wheel web clean
.DELETE_ON_ERROR:

install: $(VENV)/.native

# The native library is built with the packages of the environment, so that the build needs nothing else from the network.
$(VENV)/.packages: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is older than 3.11"; echo "hint: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -q -c constraints.txt scikit-build-core cmake ninja
	@touch $@

$(VENV)/.native: $(VENV)/.packages $(NATIVE)
	$(PIP) install -q -c constraints.txt --no-build-isolation -e '.[demo,dev]'
	@touch $@

native: install

demo: install
	$(BIN)/reactnet demo

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

test: lint types
	$(BIN)/pytest

# For any Linux of the last ten years; elsewhere: pip wheel . Another architecture: .ci/wheel aarch64 dist
wheel: install
	.ci/wheel $(shell uname -m) dist

# The runtime for browsers, its page and a model, ready for any static server: make web MODEL=model.rnet
web:
	native/wasm/build.sh dist/web/reactnet.wasm
	cp web/index.html web/style.css web/app.js web/runtime.js dist/web/
	$(if $(MODEL),cp $(MODEL) dist/web/model.rnet)

clean:
	rm -rf build dist $(VENV)
