#!/usr/bin/env bash
# Everything that wants a GPU, in one go and without a network: build, test on the device, measure.
#
#     bench/gpu.sh [folder for the results, by default build/bench]
#
# Needs nvcc, g++, Python with NumPy, torch, pybind11, scikit-build-core, cmake, ninja, pytest and
# SciPy. Where Eigen or doctest is not installed, unpack the wheel of cmeel-eigen into .deps/ and put
# doctest/doctest.h into .deps/include/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
results=${1:-build/bench}
mkdir -p "$results"

settings=(-DRITZ_CUDA=ON -DRITZ_TESTS=ON)
eigen=.deps/cmeel.prefix/share/eigen3/cmake
if [ -d "$eigen" ]; then settings+=("-DEigen3_DIR=$PWD/$eigen"); fi
if [ -d .deps/include ]; then settings+=("-DRITZ_DOCTEST_INCLUDE_DIR=$PWD/.deps/include"); fi

python -m pip install --no-build-isolation --no-deps -q -e . -Cbuild-dir=build/editable \
  "${settings[@]/#-D/-Ccmake.define.}"
cmake --build build/editable --target cuda_test cuda_methods_test cuda_blocks_test \
  cuda_estimates_test cg_batch_test ritz_cuda
plugin=$(python -c 'import pathlib, ritz._core; print(pathlib.Path(ritz._core.__file__).parent)')
export RITZ_CUDA_LIBRARY=$plugin/libritz_cuda.so
python -m ritz.cli info
python -m pytest -q tests/python/test_cuda.py tests/python/test_cg_batch.py
python bench/gpu.py --tests build/editable/tests/cpp --json "$results/gpu.json"
