#!/usr/bin/env bash
# What a run amounts to so far, as the table of README.md.
#
# usage: tests/fuzz/figures.sh [SUMMARY]      build-fuzz/log/summary.tsv without
set -euo pipefail
awk -F'\t' '
  NR > 1 {
    if (!($2 in seconds)) order[++n] = $2
    seconds[$2] += $3; runs[$2] += $4; slices[$2]++; failed[$2] += $8 != 0
    if ($5 > 0) { cover[$2] = $5; features[$2] = $6; files[$2] = $7 }
  }
  function row(name, s, r, c, f, k, b) {
    printf "| %s | %d | %d | %d | %s | %s | %s | %d |\n", name, s, r, (s > 0 ? r / s : 0), c, f, k, b
  }
  END {
    print "| target | CPU seconds | executions | per CPU second | edges | features | inputs kept | slices with a finding |"
    print "|---|---|---|---|---|---|---|---|"
    for (i = 1; i <= n; i++) {
      t = order[i]
      row("`" t "`", seconds[t], runs[t], cover[t], features[t], files[t], failed[t])
      all += seconds[t]; total += runs[t]; bad += failed[t]
    }
    row("all", all, total, "", "", "", bad)
  }' "${1:-$(dirname "$0")/../../build-fuzz/log/summary.tsv}"
