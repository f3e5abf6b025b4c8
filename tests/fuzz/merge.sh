#!/usr/bin/env bash
# Makes tests/fuzz/corpus anew out of what run.sh collected: the fewest small files that reach what all of them reach.
# Regressions, named regression_*, stay.
#
# usage: tests/fuzz/merge.sh [TARGET]...
set -euo pipefail
cd "$(dirname "$0")/../.."
# An .sqf file has more than 8 KiB, so those get twice as much; a folder has at most this much of all.
small=8191 small_sqf=16383 folder_bytes=140000
export ASAN_OPTIONS=quarantine_size_mb=16
for target in ${*:-open open_and_touch meta safetensors gguf tokenizer template}; do
  limit=$small
  case $target in open*) limit=$small_sqf ;; esac
  from=build-fuzz/small/$target to=build-fuzz/minimal/$target kept=tests/fuzz/corpus/$target
  rm -rf "$from" "$to"
  mkdir -p "$from" "$to" "$kept"
  find "build-fuzz/corpus/$target" "build-fuzz/seeds/$target" "$kept" -type f -size -$((limit + 1))c \
    ! -name 'regression_*' -exec cp -t "$from" {} +
  build-fuzz/tests/fuzz/fuzz_"$target" -merge=1 -max_len=$limit -rss_limit_mb=0 "$to" "$from" 2>&1 | tail -n 1
  find "$kept" -type f ! -name 'regression_*' -delete
  # libFuzzer merges in order of size, small first: the first ones reach the most for their bytes.
  total=0
  while read -r size file; do
    [ $((total + size)) -le $folder_bytes ] || break
    total=$((total + size))
    cp "$file" "$kept/"
  done < <(find "$to" -type f -printf '%s %p\n' | sort -n)
  printf '%s: %d files, %d bytes\n' "$target" "$(find "$kept" -type f | wc -l)" "$total"
done
