#!/usr/bin/env bash
# Installs what is missing, builds, makes the real model that some tests read, and runs every test: release, then
# with address and undefined-behaviour sanitizers. The last line is "N passed, M failed", summed over both.
#
# usage: tests/run.sh [--quick] [--no-cuda]      --quick leaves the sanitizers out, --no-cuda the CUDA kernels
set -euo pipefail
cd "$(dirname "$0")/.."
. samples/setup.sh

presets="release dev" with_cuda=1
for option in "$@"; do
  case "$option" in
    --quick) presets="release" ;;
    --no-cuda) with_cuda=0 ;;
    *)
      echo "usage: tests/run.sh [--quick] [--no-cuda]" >&2
      exit 2
      ;;
  esac
done

step "packages"
install_packages "${build_packages[@]}"
install_python
# A system without these packages does without their tests, which then count as skipped.
python3 -B -c 'import sys; sys.path.insert(0, "tests/apps"); import browser; sys.exit(not browser.find_browser())' ||
  install_packages "${test_packages[@]}" || echo "no browser: the report's page is not tested" >&2

step "model"
fetch_gguf
venv=build/venv
if ! $venv/bin/python -c 'import gguf, ml_dtypes, numpy, safetensors, xxhash, zstandard' 2>/dev/null; then
  python3 -m venv $venv
  $venv/bin/python -m pip install -q numpy gguf safetensors ml_dtypes xxhash zstandard
fi
# A folder is renamed when it is whole, so that an interrupted run leaves none behind.
make_model() {
  local folder=$1
  shift
  [ ! -d "$folder" ] || return 0
  rm -rf "$folder.part"
  $venv/bin/python bench/make_smollm2.py --gguf models/smollm2.gguf "$@" "$folder.part"
  mv "$folder.part" "$folder"
}
make_model models/smollm2
make_model models/smollm2_lattice --keep-lattice --dtype float32
export SQF_SMOLLM2=$PWD/models/smollm2 SQF_SMOLLM2_GGUF=$PWD/models/smollm2.gguf
export SQF_SMOLLM2_F32=$PWD/models/smollm2_lattice

# An nvcc that the build finds by itself, and takes.
has_nvcc() {
  local nvcc release
  for nvcc in "${CUDACXX-}" /usr/local/cuda/bin/nvcc nvcc; do
    release=$("${nvcc:-false}" --version 2>/dev/null | sed -n 's/.*release \([0-9]*\).*/\1/p')
    [ "${release:-0}" -lt 12 ] || return 0
  done
  return 1
}
# The kernels are compiled, for one architecture, and their PTX is interpreted by the tests; no GPU is needed.
cuda=(-DSQF_CUDA=OFF)
if [ $with_cuda -eq 1 ]; then
  step "nvcc"
  cuda=(-DSQF_CUDA=ON -DSQF_CUDA_ARCHS=80 -DSQF_NVCC=)
  if ! has_nvcc; then
    if ! $venv/bin/python -m pip install -q 'nvidia-cuda-nvcc>=13' nvidia-nvvm nvidia-cuda-crt nvidia-cuda-runtime nvidia-cuda-cccl; then
      echo "no nvcc, and none from PyPI: --no-cuda leaves the CUDA kernels and their tests out" >&2
      exit 3
    fi
    cuda=(-DSQF_CUDA=ON -DSQF_CUDA_ARCHS=80 "-DSQF_NVCC=$PWD/$venv")
  fi
fi

# An attribute of the <testsuite> element in CTest's JUnit report.
count() { sed -n "s/^[[:space:]]*$2=\"\([0-9]*\)\".*/\1/p" "$1" | head -n 1; }

passed=0 failed=0 skipped=0
for preset in $presets; do
  folder=build
  [ "$preset" = release ] || folder=build-$preset
  step "build, $preset"
  cmake --preset "$preset" -DSQF_TESTS=ON -DSQF_UNITY_TESTS=ON -DPython3_EXECUTABLE="$PWD/$venv/bin/python" "${cuda[@]}"
  cmake --build "$folder"
  step "test, $preset"
  # These take minutes under sanitizers, and run nothing that small models do not run as well.
  left_out=()
  [ "$preset" = release ] || left_out=(-E '^(Reference|EvaluateRealModel)\.')
  report=$PWD/$folder/tests.xml
  rm -f "$report"
  status=0
  ctest --test-dir "$folder" -j2 "${left_out[@]}" --output-on-failure --output-junit "$report" || status=$?
  tests=$(count "$report" tests)
  bad=$(count "$report" failures)
  [ $status -eq 0 ] || [ "$bad" -gt 0 ] || bad=1 # a test that could not be started is no failure in the report
  not_run=$(($(count "$report" skipped) + $(count "$report" disabled)))
  passed=$((passed + tests - bad - not_run))
  failed=$((failed + bad))
  skipped=$((skipped + not_run))
done

[ $skipped -eq 0 ] || printf '\n%d skipped' $skipped
printf '\n%d passed, %d failed\n' $passed $failed
[ $failed -eq 0 ] && [ $passed -gt 0 ]
