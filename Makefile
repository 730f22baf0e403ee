# Two commands: `make book` builds the book, `make test` runs every test. Each sets up .venv by itself first.
#
#   PYTHON=python3.12   another interpreter (3.11 to 3.13)
#   TORCH=...           what pip installs as torch, e.g. TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"

PYTHON ?= python3
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
READY := $(VENV)/.ready
STARTED := $(shell date +%s)
TOOK = @echo "make $@ took $$(( $$(date +%s) - $(STARTED) )) s, set-up included"
# What the chapters generate (simulated clips, trained runs) is kept, and made anew when the package changes.
KEY := $(shell cat asdlib/*.py requirements.txt | sha256sum | cut -c1-12)
# Not below _build: nbmake passes over folders of that name.
SOURCE := _executed

.PHONY: help test book format clean

help:
	@echo "make book    build the book into _build/html (first call: about 7 minutes on 2 cores)"
	@echo "make test    run every test (first call: about 4 minutes on 2 cores)"
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
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/nbstripout --verify book/*.ipynb
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile
	$(TOOK)

book: $(READY)
	rm -rf $(SOURCE)
	mkdir -p $(SOURCE) data/generated
	cp -r _config.yml _toc.yml book $(SOURCE)/
	find data/generated -mindepth 1 -maxdepth 1 ! -name $(KEY) ! -name by-hand -exec rm -rf {} +
	ASDLIB_DATA=$(CURDIR)/data/generated/$(KEY) ASDLIB_CACHE=$(CURDIR)/data/generated/$(KEY)/cache \
	  ASDLIB_RESULTS=$(CURDIR)/data/results $(BIN)/python -m pytest --nbmake --overwrite --nbmake-timeout=1200 \
	  -p no:cacheprovider -c /dev/null --rootdir=$(SOURCE) -n 2 $(SOURCE)/book
	rm -rf _build/html _build/.doctrees
	$(BIN)/jupyter-book build $(SOURCE) --path-output . -W -n --keep-going --quiet
	@echo "open _build/html/index.html"
	$(TOOK)

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/nbstripout book/*.ipynb

clean:
	rm -rf _build _executed data/generated .pytest_cache .ruff_cache
