#pragma once
// What a tensor means as a matrix of f32: its column parts, each in its encoding, put back where
// their columns stand, plus the low-rank pair. Exact: every step is rounded, in the order stated,
// so that two readers agree in every bit. Scalar and allocating; the kernels do not come here.

#include <cstdint>
#include <vector>

#include "format/result.hpp"
#include "loader/model_file.hpp"

namespace sqf {

/// Rows begin .. begin + count - 1 of one expert's matrix.
struct RowRange {
  uint64_t expert = 0, begin = 0, count = 0;
};

/// out [count][columns], in the coordinates of the smoothed activation; all from 0:
///   out[c] = out[c] + v * factor[j]   for each part in order: v its column j, which is column c
///   out[c] = out[c] + acc             acc = acc + a * b over the low-rank pair, k ascending from 0
/// Without column factors v is added as it is; a and b are f16, or i8 times their row's scale.
/// Reads through file.touch(). Errors: usage (out of range), malformed (R502, R605).
Result<void> dequantize(const ModelFile& file, const TensorView& tensor, const RowRange& rows,
                        float* out);

/// The same in the coordinates of the activation itself: where the smoothing vector is to be
/// applied, column c is divided by its element c.
Result<void> effective(const ModelFile& file, const TensorView& tensor, const RowRange& rows,
                       float* out);

/// Which columns of the matrix the part's columns are, ascending. Column lists stand among the
/// tensor bytes, which opening does not check: one that does not ascend within the input's columns
/// is refused (R605).
Result<std::vector<uint64_t>> columns_of(const ModelFile& file, const TensorRecord& tensor,
                                         const PartRecord& part);

}  // namespace sqf
