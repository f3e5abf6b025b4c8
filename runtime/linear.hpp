#pragma once
// A linear layer as the file composes it (spec/sqf.md, 3.4): column parts, each with what it reads
// of the activation, a low-rank pair, a bias. Views into the mapping, plus what is worked out once:
// places of columns and sums of weights. Refuses column lists that lead outside (R605).

#include <map>
#include <memory>
#include <tuple>
#include <vector>

#include "loader/model_file.hpp"

namespace sqf {

/// What a part reads of an activation: Q(x[columns] / smooth[columns] * factors).
struct Feed {
  int64_t count = 0;               ///< columns it has in the end
  std::vector<uint32_t> gather;    ///< which of the activation's they are, ascending; empty: all
  const float* smooth = nullptr;   ///< [columns of the activation], or null
  const float* factors = nullptr;  ///< [count], or null
  ColumnSetRecord set = {};        ///< its quantizer

  bool quantizes() const { return set.quantizer != QuantizerKind::none; }
  /// Whether the numbers to be quantized are others than the activation's own.
  bool moves() const { return !gather.empty() || smooth != nullptr || factors != nullptr; }
};

struct LinearPart {
  PartView weight;
  const Feed* feed = nullptr;  ///< null: the activation as it is
  /// [rows] sum of the weights of a row: what an offset of all activations is multiplied by. Only
  /// where a kernel multiplies asymmetric integers.
  std::vector<float> weight_sums;
};

/// A [rows, columns] or B [rank, columns] of a low-rank pair: f16, or i8 with a scale per row.
struct LowRankFactor {
  const std::byte* values = nullptr;  ///< as value_shape() packs them
  const float* scales = nullptr;      ///< [rows]: i8; null: f16
  int64_t rows = 0, columns = 0;
};

/// y [rows] = sum of the parts + A (B xh) + bias for x [columns].
struct Linear {
  int64_t rows = 0, columns = 0;
  std::vector<LinearPart> parts;
  LowRankFactor a, b;                   ///< no rows: there is no low-rank pair
  const Feed* low_rank_feed = nullptr;  ///< xh; null: the activation as it is
  const float* bias = nullptr;          ///< [rows], or null

  bool has_low_rank() const { return b.rows != 0; }
};

/// The distinct feeds of a file: tensors that name the same input record share them.
class Feeds {
 public:
  /// For a part of a tensor. Null: the activation as it is.
  Result<const Feed*> of_part(const ModelFile& file, const TensorRecord& tensor,
                              const PartRecord& part);
  /// All columns, smoothed where the record says so, never quantized.
  const Feed* of_all(const ModelFile& file, const TensorRecord& tensor);

 private:
  using Key = std::tuple<uint32_t, uint32_t, uint32_t>;  ///< input, column set, factors' component
  const Feed* keep(const Key& key, Feed feed);
  std::map<Key, std::unique_ptr<Feed>> feeds_;
};

/// A tensor of rank 2. Views live as long as `file`, feeds as long as `feeds`.
/// Errors: malformed R605.
Result<Linear> load_linear(const ModelFile& file, const TensorView& tensor, Feeds* feeds);

/// Bytes in the file that one product reads.
uint64_t bytes_per_token(const ModelFile& file, const TensorView& tensor);

}  // namespace sqf
