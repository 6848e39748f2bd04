# The project's jobs. Each needs python3 (3.10 or newer), a C++20 compiler and make: the rest is
# installed into .venv from PyPI.
#
#   make demo     build, then train a network on real data by Gauss-Newton
#   make test     lint, types, C++ tests, sanitizers, Python tests, examples, docs, packages
#   make bench    measure this machine; RESULTS=bench/results replaces the committed numbers
#   make docs     build the documentation into build/docs
#   make lint     check style and types;  make format  repairs the style
#   make develop  from now on, `import ritz` compiles what changed in the C++ sources
#   make clean    remove everything that was built; .venv stays

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
STAMPS := build/stamps
PIP := $(VENV)/bin/python -m pip -qq --disable-pip-version-check
RESULTS ?= build/bench
JOBS ?= $(shell nproc 2>/dev/null || echo 2)

export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export CMAKE_BUILD_PARALLEL_LEVEL := $(JOBS)
export CTEST_PARALLEL_LEVEL := 2
unexport PYTHONPATH

# What pyproject.toml requires to build, and the tools that build isolation would fetch.
BUILD_REQUIREMENTS := "scikit-build-core>=0.11" "pybind11>=3.0" "cmeel-eigen>=3.4,<4" \
                      "cmake>=3.28" "ninja>=1.11"
EDITABLE = --no-build-isolation -Cbuild-dir=build/editable \
           $(if $(wildcard $(STAMPS)/develop),-Ceditable.rebuild=true)
# The torch that the tests are written against, installed before anything that could bring another.
TORCH := torch==2.13.0

cxx_sources := $(shell find cpp python/src cmake -type f) CMakeLists.txt python/CMakeLists.txt
formatted := $(shell find cpp python/src tests bench examples -name '*.[hc]' -o -name '*.[hc]pp' \
                     -o -name '*.inl' -o -name '*.cu' -o -name '*.cuh')
modules := $(sort $(shell find python/ritz -name '*.py' -o -name '*.pyi'))

.PHONY: demo test bench docs lint format develop clean
.PHONY: test-lint test-cpp test-sanitize test-python test-examples test-docs test-package
.PHONY: environment test-environment doctest-header FORCE

demo: environment
	$(VENV)/bin/ritz demo

test:
	@start=$$SECONDS; \
	for step in lint cpp sanitize python examples docs package; do \
	  echo "==> $$step"; begin=$$SECONDS; \
	  $(MAKE) test-$$step || { echo "make test: the step '$$step' failed" >&2; exit 1; }; \
	  echo "<== $$step: $$((SECONDS - begin)) s"; \
	done; \
	echo "make test: every step passed in $$((SECONDS - start)) s"

# ---- environment -----------------------------------------------------------------------------

environment: $(STAMPS)/package
test-environment: $(STAMPS)/test

$(VENV)/pip.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	  || { echo "ritz needs Python 3.10 or newer; set PYTHON=<path of one>" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 \
	  || { rm -rf $(VENV); \
	       if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	         echo "installing python3-venv"; apt-get update -qq; \
	         DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >/dev/null; \
	       fi; \
	       $(PYTHON) -m venv $(VENV); } \
	  || { echo "python3 cannot make environments: install python3-venv" \
	            "(Debian: apt install python3-venv)" >&2; exit 1; }
	@echo "installing the build tools into $(VENV)"
	@$(PIP) install $(BUILD_REQUIREMENTS)
	@touch $@

# An editable install finds new lines by itself, but new modules only when installed again.
$(STAMPS)/modules: FORCE
	@mkdir -p $(@D)
	@echo "$(modules)" | cmp -s - $@ || echo "$(modules)" > $@

$(STAMPS)/package: $(VENV)/pip.stamp $(STAMPS)/modules pyproject.toml $(cxx_sources)
	@echo "building ritz (a minute or two the first time)"
	@$(PIP) install $(EDITABLE) -e ".[demo]"
	@touch $@

$(STAMPS)/test: $(STAMPS)/package
	@echo "installing what the tests need"
	@$(PIP) install $(TORCH)
	@$(PIP) install $(TORCH) $(EDITABLE) -e ".[torch,jax,dev]"
	@touch $@

has_doctest = echo '\#include <doctest/doctest.h>' | c++ -E -x c++ - >/dev/null 2>&1

doctest-header:
	@if ! $(has_doctest) && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "installing doctest-dev"; apt-get update -qq; \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq doctest-dev >/dev/null || true; \
	fi
	@$(has_doctest) || echo "doctest/doctest.h was not found: the C++ unit tests are skipped." \
	  "Get it with 'apt install doctest-dev', 'dnf install doctest-devel' or 'brew install doctest'."

# ---- steps of the tests ----------------------------------------------------------------------

lint test-lint: test-environment
	ruff check
	ruff format --check
	mypy
	python -m mypy.stubtest ritz._core --allowlist python/stubtest_allowlist.txt
	@echo "clang-format --dry-run -Werror (C++ sources)"
	@clang-format --dry-run -Werror $(formatted)

format: test-environment
	ruff check --fix
	ruff format
	clang-format -i $(formatted)

# The kernels and the devices as they ship, in the tree that the Python module was built in. The
# methods meet their tests in C++ under the sanitizers, and as they ship those in Python.
shipped_tests := spaces threads dense_sparse dense_sketches sparse_sketches hadamard philox cuda \
                 cg_batch
# Only the spaces and what is built on their threads can race; the methods have no threads.
tsan_tests := spaces threads dense_sparse operators comm columns

test-cpp: test-environment doctest-header
	@if $(has_doctest); then \
	  cmake -S . -B build/editable --log-level=WARNING -DRITZ_TESTS=ON >/dev/null; \
	  cmake --build build/editable --target $(shipped_tests:%=%_test) -- --quiet; \
	  ctest --test-dir build/editable --output-on-failure --no-tests=error --timeout 300 \
	    -R "^cpp\.($$(echo $(shipped_tests) | tr ' ' '|'))(_kernels|_blas)?$$"; \
	fi

test-sanitize: test-environment doctest-header
	@if $(has_doctest); then \
	  for preset in asan tsan; do \
	    cmake --preset $$preset --log-level=WARNING -DRITZ_EXAMPLES=OFF \
	      -DRITZ_UNSANITIZED=$(CURDIR)/build/editable/libritz.a >/dev/null; \
	  done; \
	  cmake --build --preset asan -- --quiet; \
	  ctest --preset asan; \
	  cmake --build --preset tsan --target $(tsan_tests:%=%_test) -- --quiet; \
	  ctest --preset tsan -R "^cpp\.($$(echo $(tsan_tests) | tr ' ' '|'))$$"; \
	fi

test-python: test-environment
	python -m pytest -q -n auto --maxprocesses 4 --dist worksteal -m "not timed"
	python -m pytest -q -m timed

# The installed library as another project meets it: through find_package, from its own folder.
test-examples: test-environment doctest-header
	@cmake --install build/editable --component library --prefix build/prefix >/dev/null
	@nvcc=$$(sed -n 's/^set(CMAKE_CUDA_COMPILER "\(.*\)")/\1/p' \
	  build/editable/CMakeFiles/*/CMakeCUDACompiler.cmake 2>/dev/null || true); \
	for project in tests/consume examples/embed_cpp examples/embed_c $${nvcc:+examples/cuda_operator}; do \
	  name=$$(basename $$project); \
	  cmake -S $$project -B build/consume/$$name -G Ninja --log-level=WARNING \
	    -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH=$(CURDIR)/build/prefix \
	    $${nvcc:+-DCMAKE_CUDA_COMPILER="$$nvcc"} >/dev/null 2>&1; \
	  cmake --build build/consume/$$name -- --quiet; \
	  echo "$$name:"; RITZ_CUDA_LIBRARY=$(CURDIR)/build/prefix/lib/libritz_cuda.so \
	    build/consume/$$name/$$name; \
	done
	@for script in examples/*.py; do echo "$$script:"; python $$script; done

docs test-docs: test-environment
	sphinx-build -q -W --keep-going -b html docs build/docs
	@echo "the documentation is in build/docs/index.html"

# The sdist holds what the build reads; the wheel is linked from what is compiled already, and works in
# an environment of its own.
test-package: test-environment
	@rm -rf build/package && mkdir -p build/package/sdist
	@for kind in "--sdist" "--wheel -Cbuild-dir=build/editable -Ccmake.define.RITZ_TESTS=OFF"; do \
	  echo "python -m build $$kind"; \
	  python -m build --no-isolation --outdir build/package $$kind . >build/package.log 2>&1 \
	    || { tail -n 50 build/package.log; exit 1; }; \
	done
	@tar -xzf build/package/*.tar.gz -C build/package/sdist --strip-components=1
	@for part in CMakeLists.txt cmake cpp pyproject.toml python; do \
	  diff -r -x __pycache__ $$part build/package/sdist/$$part; \
	done
	@ls -l build/package | awk '/ritz/ {print $$5, $$9}'
	@$(PYTHON) -m venv build/package/venv
	@build/package/venv/bin/python -m pip -qq --disable-pip-version-check install build/package/*.whl
	build/package/venv/bin/python -I tests/consume/wheel.py

# The import runs cmake, so it wants an activated environment: hence not the default.
develop:
	@mkdir -p $(STAMPS) && touch $(STAMPS)/develop && rm -f $(STAMPS)/package
	@$(MAKE) test-environment
	@echo "now: source $(VENV)/bin/activate"

bench: test-environment
	@mkdir -p $(RESULTS)
	@$(PIP) install $(TORCH) $(EDITABLE) -e ".[bench]"
	@$(PIP) install $(TORCH) primme >/dev/null 2>&1 \
	  || echo "primme was not installed (it links with a BLAS and LAPACK): left out"
	@cmake --preset release --log-level=WARNING -DRITZ_BENCH=ON >/dev/null
	@cmake --build --preset release -- --quiet
	python bench/kernels_numpy.py build/release/bench/kernels --json $(RESULTS)/kernels.json
	python bench/iterations.py --json $(RESULTS)/iterations.json
	python bench/matrices.py --json $(RESULTS)/matrices.json --markdown $(RESULTS)/matrices.md
	python bench/curvature.py --json $(RESULTS)/curvature.json --markdown $(RESULTS)/curvature.md
	python bench/spectra.py --json $(RESULTS)/spectra.json --markdown $(RESULTS)/spectra.md
	python bench/sketch.py --json $(RESULTS)/sketch.json --markdown $(RESULTS)/sketch.md
	python bench/bal.py build/release/bench/bal --json $(RESULTS)/bal.json

clean:
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find python tests bench docs examples -name __pycache__ -prune -exec rm -rf {} +
