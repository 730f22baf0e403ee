# Two commands: `make book` builds the book, `make check` tests everything, `make test` what can be tested in three minutes. Each sets up .venv by itself first.
#
#   TRAIN=1             with book or editions: train anew what comes recorded
#   PYTHON=python3.12   another interpreter (3.11 to 3.13)
#   TORCH=...           what pip installs as torch, e.g. TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"

PYTHON ?= python3
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
READY := $(VENV)/.ready
STARTED := $(shell date +%s)
TOOK = @echo "make $@ took $$(( $$(date +%s) - $(STARTED) )) s, set-up included"
LIVE := _build/live/sources

.PHONY: help test check seconds soak mutants book editions benchmark live release format clean

help:
	@echo "make book    build the book into _build/html (first call: about 4 minutes on 2 cores; TRAIN=1: 15)"
	@echo "make editions  the student's and the teacher's edition, too, the archives, EPUB and PDF"
	@echo "make live    serve the book while you write it, with reload"
	@echo "make test    run the quick tests (about 3 minutes on 2 cores, set-up apart)"
	@echo "make check   run every test, check code and types (about 20 minutes; what continuous integration does)"
	@echo "make seconds  measure anew which tests are quick, on a machine that does nothing else (about 20 minutes)"
	@echo "make soak    the long forms of some tests (about an hour)"
	@echo "make mutants  make mistakes on purpose: would the tests notice? (about half an hour)"
	@echo "make benchmark  measure how fast it is on this machine, which should be idle (about 20 minutes)"
	@echo "make release  wheel, source archive, ZIPs of the book and checksums into dist/"
	@echo "make format  format the code, check it, strip outputs from notebooks"
	@echo "make clean   remove what was built and generated; .venv stays"

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	  || { echo "Python 3.11 to 3.13 is needed, $(PYTHON) is another: call make PYTHON=python3.11 ..."; exit 2; }
	@echo "setting up $(VENV), about 3 minutes ..."
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --quick
	$(TOOK)

seconds: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --measure
	$(TOOK)

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/nbstripout --verify book/*.ipynb
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --doctest-modules asdlib
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile
	$(TOOK)

soak: $(READY)
	OMP_NUM_THREADS=1 ASDLIB_SOAK_KILLS=50 ASDLIB_SOAK_FUZZ=10000 ASDLIB_SOAK_HEADERS=5000 ASDLIB_SOAK_MINUTES=30 $(BIN)/python -m pytest -n 2 -rP \
	  --dist loadfile tests/test_kills.py tests/test_fuzz.py tests/test_soak.py tests/test_processes.py tests/test_opening.py
	$(TOOK)

mutants: $(READY)
	$(BIN)/python tests/mutants.py
	$(TOOK)

book: $(READY)
	ASDLIB_TRAIN=$(TRAIN) $(BIN)/python book/_ext/build.py
	@echo "open _build/html/index.html"
	$(TOOK)

editions: $(READY)
	ASDLIB_TRAIN=$(TRAIN) $(BIN)/python book/_ext/build.py --editions
	$(TOOK)

benchmark: $(READY)
	$(BIN)/python benchmarks/speed.py
	$(TOOK)

release: editions
	$(BIN)/python .ci/release.py
	$(TOOK)

# For authors: serves the reader's edition, and builds it again whenever a chapter, or the package, is saved.
live: $(READY)
	$(BIN)/python book/_ext/build.py --sources $(LIVE)
	$(BIN)/jupyter-book config sphinx $(LIVE)
	@echo "the book will be at http://127.0.0.1:8000/book/intro.html"
	PYTHONPATH=book/_ext $(BIN)/sphinx-autobuild $(LIVE) _build/live/html --watch book --watch asdlib --ignore "*/.ipynb_checkpoints/*" \
	  --pre-build "$(BIN)/python book/_ext/build.py --sources $(LIVE)"

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/nbstripout book/*.ipynb

clean:
	rm -rf _build _executed data/generated .pytest_cache .ruff_cache .mypy_cache
