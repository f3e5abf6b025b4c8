#!/usr/bin/env bash
# Makes tests/fuzz/corpus anew out of what run.sh collected: few small files that reach the edges that all of them
# reach (how often an edge is taken does not count here, or there would be thousands).
# Regressions, named regression_*, stay.
#
# usage: tests/fuzz/merge.sh [TARGET]...
set -euo pipefail
cd "$(dirname "$0")/../.."
# An .sqf file has more than 8 KiB, so those get twice as much; a folder has at most this much of all.
small=8191 small_sqf=16383 most_files=64 most_bytes=130000
export ASAN_OPTIONS=quarantine_size_mb=16
for target in ${*:-open open_and_touch meta safetensors gguf tokenizer template}; do
  limit=$small
  case $target in open*) limit=$small_sqf ;; esac
  from=build-fuzz/small/$target to=build-fuzz/minimal/$target kept=tests/fuzz/corpus/$target
  rm -rf "$from" "$to"
  mkdir -p "$from" "$to" "$kept"
  for folder in "build-fuzz/corpus/$target" "build-fuzz/seeds/$target" "$kept"; do
    find "$folder" -type f -size -$((limit + 1))c ! -name 'regression_*' -exec cp -t "$from" {} + ||
      true # a fuzzer at work takes some away
  done
  control=build-fuzz/minimal/$target.control
  rm -f "$control"
  build-fuzz/tests/fuzz/fuzz_"$target" -set_cover_merge=1 -use_counters=0 -max_len=$limit -rss_limit_mb=0 \
    -merge_control_file="$control" "$to" "$from" >"$control.log" 2>&1
  find "$kept" -type f ! -name 'regression_*' -delete
  python3 tests/fuzz/pick.py "$control" $most_files $most_bytes | xargs -r cp -t "$kept"
  printf '%s: %d files, %d bytes\n' "$target" "$(find "$kept" -type f | wc -l)" "$(du -sb "$kept" | cut -f1)"
done
