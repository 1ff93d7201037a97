# Each target does its own set-up: a virtual environment in .venv and everything in it.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --disable-pip-version-check
# On all processors, and while more is installed; pip would compile on one
COMPILE := $(BIN)/python -W ignore -m compileall -qq -j 0 -x '/tests?/' $(VENV)/lib taidpt || true
# How many processes the tests run in, one thread each
WORKERS ?= $(shell n=$$(nproc 2>/dev/null || echo 2); [ $$n -gt 4 ] && echo 4 || echo $$n)
# Of each test process: one thread, and no progress bars
QUIETLY := OMP_NUM_THREADS=1 TQDM_DISABLE=1
PYTEST  := $(QUIETLY) $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --durations=12

# What learns for nbs/paper, and the pages that show it; the report judges the others
STUDIES ?= settings table1 pictures rank_pictures family
STUDY_PAGES := what_matters table1 pictures rank_pictures family report

# Where the lowest versions of everything go, and the Python they are tested on
LOWEST        ?= .venv-lowest
LOWEST_PYTHON ?= 3.10

.PHONY: help demo results studies test test-device lint test-docs test-lowest audit bench docs slides readme wheel clean

help:
	@echo "make demo       learn prompts from the bundled captions, tag the bundled photos, write report.html"
	@echo "make test       run the notebooks, on the GPU if there is one, and every other test"
	@echo "make test-device  run the notebooks on a second device that the CPU plays, some in half precision, too"
	@echo "make lint       check the style by ruff, and the types of what people write by basedpyright"
	@echo "make test-docs  test the site and the Explorer in a browser; apt-get installs Chromium if there is none"
	@echo "make test-lowest  run the quick tests with the lowest versions that settings.ini allows"
	@echo "make results    compute README's Results and the report's verdicts anew, offline: minutes; FULL=1 for all seeds"
	@echo "make studies    run the experiments of nbs/paper anew, on the features in nbs/paper/evidence: two hours"
	@echo "make audit      look for known holes in what is installed (pip-audit asks PyPI)"
	@echo "make wheel      build the packages in dist/"
	@echo "make bench      time everything beside the published way: benchmarks/results.json; FULL=1 for a GPU, too"
	@echo "make docs       build the site: docs/_build/html/index.html"
	@echo "make slides     make the slides of the class (nbs/tutorials/teach): docs/_build/slides/index.html"
	@echo "make readme     write README.md from nbs/index.ipynb"
	@echo "make clean      remove what these commands made, $(VENV) included"
	@echo "PYTHON=python3.12 make ... uses another Python (3.10 or newer) for a new $(VENV)"

demo: $(VENV)/.installed
	$(BIN)/taidpt demo

# That nbdev_export and nbdev_clean change nothing is a test of tests/test_notebooks.py
test: $(VENV)/.dev
	flags=$$($(BIN)/python -c 'import torch; print("gpu" * torch.accelerator.is_available())'); \
	$(QUIETLY) $(BIN)/nbdev_test --path nbs --flags "$$flags" --n_workers $(WORKERS) --timing
	$(PYTEST) tests

# The CPU plays a device that is not the CPU, and it is the default
test-device: $(VENV)/.dev
	$(QUIETLY) $(BIN)/python tests/second_device.py --path nbs --flags gpu --n_workers $(WORKERS) --timing
	$(QUIETLY) $(BIN)/python tests/second_device.py bfloat16 \
	    --path nbs --file_re '^0[2-689]_' --flags gpu --n_workers $(WORKERS) --timing
	$(PYTEST) tests/on_second_device.py

lint: $(VENV)/.dev
	$(BIN)/ruff check taidpt
	$(BIN)/ruff check --select F,E501,YTT --ignore F403,F405,F811 --line-length 100 nbs tests docs benchmarks
	$(BIN)/python tests/check_types.py

# In `make test`, too, where there is a Chromium. Screenshots: tests/artifacts
test-docs: $(VENV)/.dev
	@command -v chromedriver >/dev/null && { command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null || { \
	    sudo=$$([ "$$(id -u)" = 0 ] || echo sudo); $$sudo apt-get update && $$sudo apt-get install -y chromium chromium-driver; }
	$(PYTEST) tests/test_docs.py tests/test_browser.py

# uv finds LOWEST_PYTHON, or fetches it; a path to a Python will do, too
test-lowest: $(LOWEST)/.installed
	$(QUIETLY) $(LOWEST)/env/bin/nbdev_test --path nbs --file_re '^[01][0-9]_' --n_workers $(WORKERS)
	TAIDPT_LOWEST=1 $(QUIETLY) $(LOWEST)/env/bin/python -m pytest -n $(WORKERS) --dist loadfile \
	    tests/test_lowest.py tests/test_golden.py tests/test_towers.py tests/test_cli.py

# From nbs/paper/evidence; an error where a number differs by more than rounding
results: $(VENV)/.dev
	cd nbs/paper && OMP_NUM_THREADS=$(WORKERS) TQDM_DISABLE=1 $(abspath $(BIN))/python results.py $(if $(FULL),--full)

# They run on nbs/paper/evidence
studies: $(VENV)/.dev
	cd nbs/paper && for study in $(STUDIES); do \
	    begin=$$(date +%s); \
	    $(QUIETLY) $(abspath $(BIN))/python -W ignore learn_$$study.py || exit 1; \
	    echo "$$study: $$(( ($$(date +%s) - begin + 30)/60 )) minutes"; done
	cd nbs/paper && IPYTHONDIR=../../docs/ipython $(QUIETLY) $(abspath $(BIN))/jupyter nbconvert \
	    --log-level ERROR --to notebook --execute --inplace --ExecutePreprocessor.timeout=-1 \
	    $(STUDY_PAGES:%=%.ipynb)
	$(BIN)/nbdev_clean

audit: $(VENV)/.installed
	$(PIP) pip-audit
	$(BIN)/pip-audit --local --skip-editable

wheel: $(VENV)/.dev
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/python -m build --no-isolation

# FULL=1: what takes a GPU as well
bench: $(VENV)/.dev
	for b in training nounfilter memory pictures engines latency which; do $(BIN)/python benchmarks/$$b.py || exit 1; done
ifdef FULL
	@if $(BIN)/python -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; \
	then $(BIN)/python benchmarks/gpu.py; else echo "benchmarks/gpu.py is left out: there is no CUDA device here"; fi
endif

docs: $(VENV)/.dev
	$(BIN)/python docs/build.py html
	@echo "The site is in docs/_build/html: open docs/_build/html/index.html"

# Their links lead to the site beside them
slides: $(VENV)/.dev
	$(BIN)/python docs/slides.py

readme: $(VENV)/.dev
	$(BIN)/python docs/build.py readme

clean:
	rm -rf $(VENV) $(LOWEST) docs/_build build dist *.egg-info .pytest_cache _proc _docs tests/artifacts
	find . -name __pycache__ -prune -exec rm -rf {} +

# What is installed follows settings.ini: a newer one installs again.
$(VENV)/.installed: $(BIN)/python settings.ini setup.py pyproject.toml
	$(PIP) -e .
	@touch $@

$(VENV)/.dev: $(BIN)/python settings.ini setup.py pyproject.toml
	$(PIP) -U pip                                  # an old one takes longer for the rest
	$(PIP) --no-compile torch open_clip_torch
	$(COMPILE) & $(PIP) --no-compile -e '.[dev,docs]' && wait
	$(COMPILE)
	@touch $@ $(VENV)/.installed

$(LOWEST)/.installed: settings.ini setup.py pyproject.toml tests/test_lowest.py
	rm -rf $(LOWEST)
	$(PYTHON) -m venv $(LOWEST)/uv
	$(LOWEST)/uv/bin/python -m pip install --disable-pip-version-check --quiet uv packaging
	$(LOWEST)/uv/bin/uv venv --quiet --python $(LOWEST_PYTHON) $(LOWEST)/env
	$(LOWEST)/uv/bin/python tests/test_lowest.py > $(LOWEST)/lowest.txt
	$(LOWEST)/uv/bin/uv pip install --python $(LOWEST)/env/bin/python -c $(LOWEST)/lowest.txt -e '.[dev,docs]'
	@touch $@

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON) here. On Debian or Ubuntu: sudo apt install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	    echo "$(PYTHON) is $$($(PYTHON) -V 2>&1), but taidpt needs 3.10 or newer. Name another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	    v=$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	    echo "$(PYTHON) cannot make virtual environments. On Debian or Ubuntu: sudo apt install python3-venv   (or python$$v-venv)" >&2; exit 1; }
	@rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
