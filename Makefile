# hangdog: one command per intention.  `make run` and `make test` need only
# python3 (>= 3.11, with headers), gcc and make; they set up everything else.

PYTHON ?= python3
VENV ?= .venv
# pytest workers, and the limit (seconds) after which a hung test run is interrupted
JOBS ?= auto
TEST_LIMIT ?= 1800
PYTEST_ARGS ?=
ifeq ($(origin CC),default)
CC := gcc
endif

export CC
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
# Every worker of every run is a new interpreter: without compiled modules each would compile them all again.
unexport PYTHONDONTWRITEBYTECODE

PY := $(VENV)/bin/python
STAMP := $(VENV)/.hangdog-installed
NATIVE := $(filter-out harness/locks/native/test_%,$(wildcard harness/locks/native/*.c harness/locks/native/*.h harness/locks/native/*.inc))
TYPED := $(wildcard hangdog harness vmcore stress bench examples)
PYTEST := timeout --foreground --signal=INT --kill-after=30 $(TEST_LIMIT) $(PY) -m pytest
BENCHES := $(patsubst bench/%.py,%,$(wildcard bench/bench_*.py))

# The stamp names the directory it was made in: a tree that was moved or copied
# is installed again, and so is one whose built extension was deleted.
ifneq ($(shell cat $(STAMP) 2>/dev/null),$(CURDIR))
STALE := stale
endif
ifeq ($(wildcard harness/_native*.so),)
STALE := stale
endif

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: run test check bench slow soak native killstep prove few valgrind mutants lint types rules docs clean help setup stale

##@ The two to start with
run: $(STAMP) ## set up if needed, then replay a recorded program on four workers
	$(VENV)/bin/hangdog run --trace configure --workers 4 </dev/null

test: $(STAMP) ## set up if needed, then all tests but the slow ones
	$(PYTEST) -n $(JOBS) --dist worksteal -m "not slow" $(PYTEST_ARGS) </dev/null

##@ Before sending a change
check: lint types rules native few ## everything that must be green: lint, types, rules, native core, a sample of its proofs

lint: $(STAMP) ## ruff: rules and format; no warning of the C compiler in the binding
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	for source in $(filter harness/locks/native/binding_%.c,$(NATIVE)); do \
		$(CC) -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -O2 -pthread -Iharness/locks/native \
			$$($(PY) -c 'import sysconfig; print("-I" + sysconfig.get_path("include"))') -c -o /dev/null "$$source" || exit 1; \
	done

types: $(STAMP) ## mypy, strict for the packages
	$(PY) -m mypy $(TYPED)
	$(PY) -m mypy tests

rules: $(STAMP) ## the rules of the tree: who may import whom, file sizes, forbidden words
	$(PYTEST) -q tests/rules </dev/null

native: ## the C core under ASan+UBSan, then TSan; needs no Python
	ci/native.sh asan tsan

##@ Longer
slow: TEST_LIMIT := 14400
slow: $(STAMP) ## the tests marked slow
	$(PYTEST) -n $(JOBS) --dist worksteal -m slow $(PYTEST_ARGS) </dev/null

killstep: ## kill a process after every instruction of every operation of the C core
	ci/prove.sh killstep stopped all

prove: ## the proofs of the C core, short: killed and stopped in between, models, random kills, races
	ci/prove.sh quick

few: # a sample of the proofs, for check
	ci/prove.sh few

# ONLY=core|watch|vmcore  SAMPLE=how many  SEED=of the sample  LOG=file to go on from
mutants: $(STAMP) ## put deliberate errors in, one at a time: does a test notice? (ONLY= SAMPLE= SEED= LOG=)
	$(PY) -m ci.mutants $(if $(ONLY),--only $(ONLY)) --sample $(or $(SAMPLE),0) --seed $(or $(SEED),0) \
		$(if $(LOG),--log $(LOG)) </dev/null

# MINUTES=60  SEED=of all chance
soak: $(STAMP) ## all scenarios beside ten busy processes, their members stopped and continued (MINUTES= SEED=)
	$(PY) -m ci.soak_stops --minutes $(or $(MINUTES),60) --seed $(or $(SEED),0) </dev/null

valgrind: ## the C core under valgrind
	ci/native.sh valgrind

# KEEP=1 appends the rows to bench/history.jsonl; what is printed compares with the newest rows of this machine there
bench: $(STAMP) ## every benchmark, and the change since the rows that are kept (KEEP=1: keep these)
	@test -n "$(BENCHES)" || echo "bench: there is no bench/bench_*.py"
	@for name in $(BENCHES); do echo "== $$name"; $(PY) -m "bench.$$name" $(if $(KEEP),--keep) </dev/null || exit 1; done

docs: ## list the pages and check their links (tests/docs checks more)
	@$(PYTHON) -c "$$CHECK_LINKS" $(wildcard *.md docs/*.md docs/*/*.md ci/*.md tests/*.md tests/native/*.md bench/*.md)

##@ Housekeeping
setup: $(STAMP) ## only set up: environment, dependencies, extension

clean: ## remove the environment and everything that was built
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -f harness/_native*.so
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

help: ## this list
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# --- set-up -----------------------------------------------------------------

$(PY):
	@$(PYTHON) -c "$$CHECK_PYTHON" || { test $$? -eq 4 || \
	  printf 'hangdog: %s does not run\n  try: make PYTHON=python3.12 run\n' '$(PYTHON)' >&2; exit 4; }
	@rm -rf $(VENV)
	@echo "hangdog: creating $(VENV)"
	@python=$$($(PYTHON) -c 'import sys; print(sys.executable)'); \
	if command -v uv >/dev/null 2>&1; then \
	  uv venv -q --no-project --python "$$python" $(VENV); \
	elif "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
	  "$$python" -m venv $(VENV); \
	elif "$$python" -c 'import pip, venv' 2>/dev/null; then \
	  "$$python" -m venv --without-pip $(VENV) && "$$python" -m pip -qq --python $(PY) install pip; \
	else \
	  printf 'hangdog: %s can make no environment: it has neither ensurepip nor pip\n' "$$python" >&2; \
	  printf '  try: apt-get install python3-venv\n' >&2; exit 4; \
	fi

$(STAMP): pyproject.toml setup.py $(NATIVE) $(STALE) | $(PY)
	@command -v $(CC) >/dev/null 2>&1 || { \
	  printf 'hangdog: there is no C compiler (%s), and one small extension must be built\n' '$(CC)' >&2; \
	  printf '  try: apt-get install gcc\n' >&2; exit 4; }
	@$(PY) -c "$$CHECK_PYTHON" && $(PY) -c "$$CHECK_HEADERS"
	@echo "hangdog: installing into $(VENV) (the first time takes a minute)"
	@if command -v uv >/dev/null 2>&1; then \
	  uv pip install -q --compile-bytecode --python $(PY) -e '.[dev]' </dev/null; \
	else \
	  $(PY) -m pip --version >/dev/null 2>&1 || $(PY) -m ensurepip >/dev/null; \
	  $(PY) -m pip install -qq -e '.[dev]' </dev/null; \
	fi
	@$(PY) -m compileall -q hangdog harness vmcore stress
	@printf '%s\n' '$(CURDIR)' >$@

define CHECK_PYTHON
import sys
if sys.version_info < (3, 11):
    print("hangdog: %s is Python %d.%d, at least 3.11 is needed" % ((sys.executable,) + tuple(sys.version_info[:2])), file=sys.stderr)
    print("  try: make PYTHON=python3.12 run", file=sys.stderr)
    sys.exit(4)
endef
export CHECK_PYTHON

define CHECK_HEADERS
import os, sys, sysconfig
header = os.path.join(sysconfig.get_path("include"), "Python.h")
if not os.path.exists(header):
    print("hangdog: there is no %s, and one small extension must be built" % header, file=sys.stderr)
    print("  try: apt-get install python%d.%d-dev" % tuple(sys.version_info[:2]), file=sys.stderr)
    sys.exit(4)
endef
export CHECK_HEADERS

define CHECK_LINKS
import os, re, sys
bad = 0
for page in sys.argv[1:]:
    text = open(page, encoding="utf-8").read()
    print("%-28s %s" % (page, text.lstrip("# ").split("\n")[0]))
    for link in re.findall(r"\]\(([^)#]+)", text):
        if "://" not in link and not os.path.exists(os.path.join(os.path.dirname(page), link)):
            print("%s: %s does not exist" % (page, link), file=sys.stderr)
            bad = 1
sys.exit(bad)
endef
export CHECK_LINKS
