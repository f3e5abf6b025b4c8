#!/usr/bin/env bash
# What a real GPU gives: the kernels' tests on it; the bandwidth that they reach on the layers of models of 1 to 70
# billion weights at 1, 4, 16 and 64 tokens, beside FP16 by cuBLAS where there is one and by the kernels for f16 weights
# anyway; and tokens a second of models, prompts and decoding in steps of 1, 4, 16 and 64 tokens.
#
# usage: bench/gpu.sh [MODEL.sqf ...] [--record]      e.g. a model in 4 bits and the same by sqconv --method none
#
# After  cmake --preset release -DSQF_CUDA=ON -DSQF_TESTS=ON -DSQF_BENCH=ON && cmake --build build
# --record also stores what the tensor cores make of given registers, for the emulator's tests.
set -euo pipefail
cd "$(dirname "$0")/.."

models=() record=0
for argument in "$@"; do
  case "$argument" in
    --record) record=1 ;;
    -*)
      echo "usage: bench/gpu.sh [MODEL.sqf ...] [--record]" >&2
      exit 2
      ;;
    *) models+=("$argument") ;;
  esac
done
unset SQF_LIBCUDA SQF_EMULATOR

echo "## Tests on the GPU"
build/tests/cuda/cuda_test --gtest_filter='-CudaFailures.*' --gtest_brief=1

if [ $record -eq 1 ]; then
  mkdir -p tests/cuda_emulator/recorded
  build/tests/sqf_record_gpu >build/recorded.json
  name=$(sed -n 's/.*"device": "\([^"]*\)".*/\1/p' build/recorded.json | tr ' /' '__')
  mv build/recorded.json "tests/cuda_emulator/recorded/$name.json"
  echo "recorded: tests/cuda_emulator/recorded/$name.json"
fi

echo "## Layers"
build/bench/sqf_bench_cuda --repeat 20 >build/gpu_layers.json
python3 bench/gpu_table.py build/gpu_layers.json

for model in "${models[@]}"; do
  echo "## $model"
  build/apps/sqrun bench "$model" --device cuda -p 512 -n 128 -b 1,4,16,64
done
