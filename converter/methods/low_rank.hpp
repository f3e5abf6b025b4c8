#pragma once
// The low-rank pair of ZeroQuant-V2's LoRC (Yao et al., arXiv:2303.08302): what a quantizer lost,
// approximated by A [N, r] times B [r, K] and stored beside the codes (spec/sqf.md 3.3 to 3.5).
// Knows neither the quantizer nor the file. The same bits on every CPU.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "format/result.hpp"

namespace sqf {

enum class FactorType : uint8_t { i8, f16 };

struct LowRankOptions {
  int64_t rank = 8;
  FactorType type = FactorType::i8;
  uint64_t seed = 20230315;  ///< of the directions that the search starts from
};

/// The components as the file stores them.
struct LowRankPair {
  int64_t rank = 0;  ///< as asked, but never more than N or K
  FactorType type = FactorType::i8;
  std::vector<std::byte> a, b;            ///< [N][rank], [rank][K] as value_shape() packs them
  std::vector<float> a_scales, b_scales;  ///< i8 only: [N], [rank]; positive, 1 for rows of zeros
  /// ||E||^2 and ||E - A B||^2 with the factors as stored, columns weighted as asked. The second
  /// is never above the first: where it would be, all factors are 0, as they are for an E of 0.
  double error_before = 0, error_after = 0;
  int64_t saturated = 0;    ///< f16 elements beyond its largest value, which they became
  int64_t underflowed = 0;  ///< elements, not 0, that only their smallness made 0
};

/// Room for a pair [rows][columns]: factors 0, scales 1.
LowRankPair low_rank_room(int64_t rows, int64_t columns, int64_t rank, FactorType type);

/// The best A B of that rank for `error` [rows][columns] = W - What, row-major. `weights`
/// [columns], or null for all 1: the square root of each input's mean square; minimises
/// ||(E - A B) diag(weights)||. A column of weight 0 gets what the others' directions say about
/// it; weights of nothing but 0 count as null.
/// Needs about 32 (rank + 32) (rows + columns) bytes. One thread, no shared state.
/// Errors: usage (shape, rank below 1, weights negative or not finite), malformed (an element of
/// `error` is not finite).
Result<LowRankPair> low_rank_pair(std::span<const float> error, int64_t rows, int64_t columns,
                                  const float* weights, const LowRankOptions& options);

/// w [rows][columns] = w + A B, to the bit what dequantizing does (spec/sqf.md 3.4, step 3).
void add_low_rank(const LowRankPair& pair, int64_t rows, int64_t columns, float* w);

}  // namespace sqf
