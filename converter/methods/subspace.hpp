#pragma once
// The best approximation of a matrix by one of low rank, by randomised subspace iteration (Halko,
// Martinsson, Tropp, arXiv:0909.4061, algorithm 4.4): a few products with the matrix instead of
// its whole singular value decomposition. Needs neither a library nor libm beyond sqrt, so that
// the same input gives the same bits everywhere.

#include <cstdint>
#include <vector>

#include "converter/methods/narrow.hpp"

namespace sqf {

/// a * b stands for the matrix. With E diag(d) = U S V^T, cut off behind `rank` singular values:
/// a = U sqrt(S) and b = sqrt(S)^-1 U^T E, which is sqrt(S) V^T diag(d)^-1 wherever d is not 0.
struct Factors {
  int64_t rank = 0;
  std::vector<double> a;       ///< [rank][rows]: components outermost
  std::vector<double> b;       ///< [rank][columns]
  std::vector<double> values;  ///< [rank] singular values, descending, d scaled to at most 1
};

/// Minimises ||(E - a b) diag(d)||, d [columns] finite and at least 0, or null: all 1. A d of zeros
/// says nothing and counts as null. Precondition: E finite, 1 <= rank <= rows, columns.
/// Components beyond the matrix's rank, as far as f32 sees it, are 0.
/// Takes 34 products of E with rank + 24 columns, and about 24 (rank + 32) (rows + columns) bytes.
Factors low_rank_factors(const Wide& error, const float* weights, int64_t rank, uint64_t seed);

}  // namespace sqf
