# make demo        the default benchmark, from raw data to the report; it compares no number of a paper
# make reproduce   the same, and says at its end what was not compared
# make test        the tests
# make check       formatting, lint, types, generated pages, links: everything but the tests
# make release     wheel and sdist in dist/, each tried in a fresh environment
# make docs        the documentation as a site, in build/docs
# make gpu-kit     what to carry to a machine with a GPU that is lent for minutes (docs/guides/gpu-box.md); MIRROR=DIR
# make generated   what is written from the source: reference pages, pages of papers and methods, the README's table
# All first make .venv and install into it with the exact versions of constraints.txt. They do so again only
# when pyproject.toml or constraints.txt has changed or the clone was moved; an interrupted installation is taken up by
# the next call.

PYTHON ?= python3
CORES  ?= all
ARGS   ?=

VENV := .venv
BIN  := $(VENV)/bin

# A virtual environment has its own path in each of its scripts: where the clone was moved, renamed or copied since, none
# of them runs, and it is made anew. A link to an environment elsewhere is left alone: its scripts are right.
MADE_FOR := test ! -f $(BIN)/activate || grep -qF "$$(cd $(VENV) && pwd -P)" $(BIN)/activate
ifneq ($(shell $(MADE_FOR) || echo moved),)
$(info $(VENV) was made in another folder than $(CURDIR), and does not run here: it is made anew)
$(shell rm -f $(VENV)/.created $(VENV)/.installed $(VENV)/.installed-with-tests $(VENV)/.installed-with-docs)
endif

# First on the path, so that the shell of a Snakemake rule, and of a test, finds this `counterpoise`.
IN_VENV := PATH="$(CURDIR)/$(BIN):$$PATH"
# Packages of the caller's own must not shadow the pinned ones.
unexport PYTHONPATH

.PHONY: demo reproduce test test-slurm check docs generated release bench gpu-kit clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed
	$(IN_VENV) $(BIN)/counterpoise run --cores $(CORES) $(ARGS)

reproduce: demo
	@echo "Not compared: any number of the papers. This was the demo, on digits that stand in for their data;"
	@echo "'counterpoise run -b mosi' runs one of their tables on real features, docs/papers.md lists all."

test: export OMP_NUM_THREADS := 1
test: $(VENV)/.installed-with-tests
	$(IN_VENV) $(BIN)/python -m pytest -n 2 --dist worksteal --benchmark-disable --durations=20 -m "not slow_full and not performance and not slurm" $(ARGS)

# Brings up a SLURM of one node on this machine, from the distribution's packages, and takes it down again.
test-slurm: export OMP_NUM_THREADS := 1
test-slurm: export COUNTERPOISE_TEST_INSTALLS := 1
test-slurm: $(VENV)/.installed-with-tests
	$(IN_VENV) $(BIN)/python -m pytest -m slurm $(ARGS)

docs: export NO_MKDOCS_2_WARNING := 1
docs: $(VENV)/.installed-with-docs
	$(BIN)/mkdocs build --strict

generated: $(VENV)/.installed
	$(BIN)/python docs/generators/reference.py docs/reference
	$(BIN)/python docs/generators/papers_page.py docs/papers.md
	$(BIN)/python docs/generators/methods_page.py docs/methods.md
	$(BIN)/python docs/generators/readme_results.py README.md

# Not `snakemake --lint`: it wants a conda environment or container for each rule, and here one pinned environment
# makes all numbers.
check: $(VENV)/.installed-with-tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/python .ci/type_errors.py
	$(BIN)/python .ci/up_to_date.py
	$(IN_VENV) $(BIN)/python -m pytest -q tests/test_readme.py tests/test_docs.py tests/test_environment.py tests/test_architecture.py

release: $(VENV)/.installed-with-tests
	rm -rf dist build/try
	$(BIN)/python -m pip install --quiet -c constraints.txt build
	$(BIN)/python -m build --outdir dist .
	for file in dist/*.whl dist/*.tar.gz; do \
	    $(PYTHON) -m venv --clear build/try && \
	    build/try/bin/python -m pip install --quiet -c constraints.txt "$$file" && \
	    (cd build && try/bin/counterpoise --version && try/bin/counterpoise check joint) || exit 1; \
	done

# One process and one thread: what else runs at the same time is part of a measurement. CSV files: results/performance/
bench: export OMP_NUM_THREADS := 1
bench: export COUNTERPOISE_PERFORMANCE := results/performance
bench: $(VENV)/.installed-with-tests
	$(IN_VENV) $(BIN)/python -m pytest -m performance $(ARGS)
	$(BIN)/python tests/performance/page.py

gpu-kit: $(VENV)/.installed
	@test -n "$(MIRROR)" || { echo "make gpu-kit MIRROR=DIR: the folder of raw data that holds mnist/"; exit 1; }
	$(BIN)/python workflow/gpu_kit/kit.py pack --mirror "$(MIRROR)"

# Data, results and checkpoints stay: they cost hours, all this costs minutes.
clean:
	rm -rf $(VENV) build dist src/counterpoise.egg-info .pytest_cache .ruff_cache .hypothesis .benchmarks
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "Counterpoise needs Python 3.11, 3.12 or 3.13, and $(PYTHON) is " + sys.version.split()[0] + "; name another one: make PYTHON=python3.12")'
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/.created
	$(BIN)/python -m pip install -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-with-tests: pyproject.toml constraints.txt | $(VENV)/.created
	$(BIN)/python -m pip install -c constraints.txt -e ".[test,slurm]"
	@touch $(VENV)/.installed $@

$(VENV)/.installed-with-docs: pyproject.toml constraints.txt | $(VENV)/.created
	$(BIN)/python -m pip install -c constraints.txt -e ".[docs]"
	@touch $(VENV)/.installed $@
