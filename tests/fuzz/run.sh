#!/usr/bin/env bash
# Builds the libFuzzer executables in build-fuzz/ with clang and runs the targets in turn, a slice at a time, until
# the processor time is used up. Then the corpora are merged, minimized and copied to tests/fuzz/corpus.
#
# usage: tests/fuzz/run.sh [CPU_SECONDS] [SLICE_SECONDS]      7200 and 120 without
#
# CLANG names the compiler (clang++-14), SQF_FUZZ_LOG the folder of the logs, SQF_FUZZ_SEEDS a folder with more seeds,
# TARGET/* each. What breaks something is left in build-fuzz/artifacts. Exit 1: something was found.
set -euo pipefail
cd "$(dirname "$0")/../.."
budget=${1:-7200} slice=${2:-120}
clang=${CLANG:-clang++-14}
log=${SQF_FUZZ_LOG:-$PWD/build-fuzz/log}
seeds=$PWD/build-fuzz/seeds corpus=$PWD/build-fuzz/corpus artifacts=$PWD/build-fuzz/artifacts
summary=$log/summary.tsv

# Shares of the time in percent; largest input in bytes.
targets="open open_and_touch meta safetensors gguf tokenizer template"
declare -A share=([open]=30 [open_and_touch]=30 [meta]=10 [safetensors]=10 [gguf]=10 [tokenizer]=5 [template]=5)
declare -A longest=([open]=65536 [open_and_touch]=65536 [meta]=4096 [safetensors]=4096 [gguf]=16384 [tokenizer]=8192
  [template]=4096)
declare -A words=([meta]=json [safetensors]=json [tokenizer]=tokenizer [template]=template)

# Assertions stay on: RelWithDebInfo's own flags would take them out.
cmake -S . -B build-fuzz -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_CXX_COMPILER="$clang" \
  -DCMAKE_C_COMPILER="${clang/clang++/clang}" -DCMAKE_CXX_FLAGS=-Wno-unknown-warning-option \
  -DCMAKE_CXX_FLAGS_RELWITHDEBINFO="-O1 -g" -DSQF_SANITIZE=fuzzer-no-link,address,undefined -DSQF_FUZZ=ON
for target in $targets; do
  cmake --build build-fuzz --target "fuzz_$target"
done
cmake --build build-fuzz --target fuzz_sqf_seeds

mkdir -p "$log" "$artifacts"
python3 tests/fuzz/make_seeds.py "$seeds"
for target in open open_and_touch; do
  mkdir -p "$seeds/$target"
  rm -f "$seeds/$target"/*
  build-fuzz/tests/fuzz/fuzz_sqf_seeds "$seeds/$target"
done
for target in $targets; do
  mkdir -p "$corpus/$target" "tests/fuzz/corpus/$target"
done

export ASAN_OPTIONS=quarantine_size_mb=16:detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1
# libFuzzer's timeout counts time on the wall: it is for endless loops. The second that an input may take is
# processor time, and guard.hpp watches it. Sanitizers take about three times the memory, hence 1024: the limit of 256
# is the replay's.
flags="-timeout=60 -rss_limit_mb=1024 -malloc_limit_mb=256 -print_final_stats=1 -print_pcs=0 -use_value_profile=0"

# One slice of one target; prints its processor seconds.
run_slice() {
  local target=$1 status=0 dictionary="" more=""
  [ -z "${words[$target]-}" ] || dictionary=-dict=tests/fuzz/${words[$target]}.dict
  [ ! -d "${SQF_FUZZ_SEEDS-}/$target" ] || more=$SQF_FUZZ_SEEDS/$target
  local out=$log/$target.last TIMEFORMAT='%U %S'
  { time build-fuzz/tests/fuzz/fuzz_"$target" $flags $dictionary -max_len="${longest[$target]}" \
    -max_total_time="$slice" -artifact_prefix="$artifacts/$target-" "$corpus/$target" "tests/fuzz/corpus/$target" \
    "$seeds/$target" $more >"$out" 2>&1 || status=$?; } 2>"$log/time"
  local seconds
  seconds=$(tail -n 1 "$log/time" | awk '{ print $1 + $2 }')
  cat "$out" >>"$log/$target.log"
  local state units
  state=$(grep -aE '^#[0-9]+.*cov: ' "$out" | tail -n 1 |
    sed 's/.*cov: \([0-9]*\) ft: \([0-9]*\) corp: \([0-9]*\).*/\1\t\2\t\3/')
  units=$(sed -n 's/^stat::number_of_executed_units: //p' "$out")
  printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$(date +%H:%M:%S)" "$target" "$seconds" "${units:-0}" "${state:-0	0	0}" "$status" \
    >>"$summary"
  echo "$seconds"
}

[ -s "$summary" ] || printf 'time\ttarget\tcpu_seconds\texecutions\tcoverage\tfeatures\tcorpus\tstatus\n' >"$summary"
# What is in the summary counts, so that an interrupted run can go on.
while :; do
  next=$(awk -F'\t' -v budget="$budget" -v shares="$(for t in $targets; do printf '%s %s ' "$t" "${share[$t]}"; done)" '
    NR > 1 { used[$2] += $3; total += $3; failed[$2] = $8 == 0 ? 0 : failed[$2] + 1 }
    END {
      if (total >= budget) exit
      n = split(shares, s, " ")
      for (i = 1; i + 1 <= n; i += 2) {
        if (failed[s[i]] >= 5) continue  # it finds the same thing again and again
        done = used[s[i]] / s[i + 1]
        if (best == "" || done < least) { best = s[i]; least = done }
      }
      print best
    }' "$summary")
  [ -n "$next" ] || break
  seconds=$(run_slice "$next")
  printf '%s: %s s\n' "$next" "$seconds"
done

tests/fuzz/merge.sh
tests/fuzz/figures.sh "$summary"
find "$artifacts" -type f
[ -z "$(find "$artifacts" -type f)" ]
