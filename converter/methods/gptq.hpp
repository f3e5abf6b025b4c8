#pragma once
// GPTQ: columns are rounded one after another, and what each loses is made up for, as well as the
// activations allow, by the columns that are not rounded yet. The order is fixed: natural, by the
// Hessian's diagonal, or with some columns last that are not rounded at all. Results have the same
// bits on every x86 CPU. Refuses Hessians that no damping makes positive definite.

#include <cstdint>
#include <span>
#include <vector>

#include "converter/encode.hpp"
#include "format/result.hpp"

namespace sqf {

/// Of the Hessian's diagonal, ties by column; descending is the published act-order.
enum class GptqOrder : uint8_t { natural, ascending, descending };

struct GptqOptions {
  GptqOrder order = GptqOrder::natural;
  double damping = 0.01;  ///< added to the diagonal, as a share of the mean of its live columns
};

/// What GPTQ knows of an activation; shared by the tensors that read it. Immutable once made, so
/// any number of threads may use it.
struct GptqInput {
  int64_t columns = 0;  ///< K
  int64_t kept = 0;     ///< the last so many of `order` are not rounded: they take up errors
  std::vector<uint32_t> order;  ///< [K] column that is rounded at each step; kept ones ascending
  /// [K][K] U of H^-1 = U^T U, upper triangular, H in `order`, damped, live columns 1 in the mean.
  std::vector<float> upper;
  int64_t dead = 0;    ///< columns whose diagonal is 0: rounded plainly, in touch with no other
  double damping = 0;  ///< what it took: more than asked for where that was not enough
};

/// gram [K][K] = X^T X in any positive scale; its buffer is worked in, beside it 4 K^2 bytes are
/// taken. kept: columns (outliers), ascending, that go last. Errors: usage (sizes, columns, a
/// damping outside [0, 1]), malformed (values that are not finite, a Hessian that is not positive
/// definite whatever the damping).
Result<GptqInput> gptq_input(std::vector<double> gram, int64_t columns,
                             std::span<const uint32_t> kept, const GptqOptions& options);

/// quantize_tile with the error of each column spread over the columns after it.
///   w [real_rows][K]; the part holds the K - kept columns that are rounded, ascending;
///   options.importance [K - kept], of the range search alone;
///   kept_out [real_rows][kept]: the kept columns, ascending, with what they took up; null if none.
/// In natural order a group's range is found when its first column's turn comes, of the weights as
/// they are by then; a row factor beforehand, of the weights as they were. In any other order all
/// ranges are found beforehand. `stats` compares with the weights as they were.
/// Allocates about 350 bytes a column; different tiles may run on different threads.
void gptq_tile(const float* w, int64_t tile, int64_t real_rows, const GptqInput& input,
               const QuantizeOptions& options, PartBuffers* out, float* kept_out,
               QuantizeStats* stats);

}  // namespace sqf
