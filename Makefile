# make demo   the whole pipeline on synthetic voices
# make test   every test: the notebooks', then those in tests/
# make docs   the site, in _docs/
# make export the package and README.md from the notebooks
# make bench  measure speed and memory against others; the table goes to benchmarks/results.md
# make run    execute the notebooks and keep their outputs, for readers and for the site
# Each installs what it needs into .venv first.
PYTHON ?= python3
VENV := $(CURDIR)/.venv
export PATH := $(VENV)/bin:$(PATH)
# small networks and side by side: one thread each, or threads wait for one another
SERIAL := OMP_NUM_THREADS=1
# what notebooks write for themselves goes when they end
SCRATCH := scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT INT TERM && TMPDIR="$$scratch"

.PHONY: demo test docs bench export run
demo: $(VENV)/installed
	audiomnist demo

test: $(VENV)/installed
	$(SCRATCH) $(SERIAL) nbdev_test
	pytest -q tests

docs: $(VENV)/installed
	pip install --quiet --editable '.[docs]'
	python docs/build.py

bench: $(VENV)/installed
	pip install --quiet --editable '.[bench]'
	cd benchmarks && pytest -q --benchmark-json=results.json . && python report.py results.json

export: $(VENV)/installed
	nbdev_export
	nbdev_clean
	jupyter nbconvert --log-level ERROR --to markdown --output-dir . --output README nbs/index.ipynb

run: $(VENV)/installed
	$(SCRATCH) TQDM_DISABLE=1 $(SERIAL) jupyter nbconvert --log-level ERROR --to notebook --execute --inplace --ExecutePreprocessor.store_widget_state=False nbs/*.ipynb
	python docs/small.py nbs/*.ipynb
	nbdev_clean

$(VENV)/installed: settings.ini setup.py
	$(PYTHON) -m venv $(VENV)
	pip install --quiet --editable '.[dev]'
	touch $@
