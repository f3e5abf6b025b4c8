#pragma once
// Rows of one factor of a low-rank pair times activations, from the stored f16 or i8. Checks
// nothing: views come from a validated file.

#include "runtime/cpu/isa.hpp"
#include "runtime/linear.hpp"
#include "runtime/thread_pool.hpp"

namespace sqf {

/// y[token * stride + row] = sum_k F[row][k] * x[token][k] for the rows of `slice`; an i8 row's
/// scale multiplies the sum of its integers. The slice begins with a tile. `add`: to what y holds.
void multiply_factor(Isa isa, const LowRankFactor& factor, const float* x, int64_t tokens,
                     Slice slice, float* y, int64_t stride, bool add);

}  // namespace sqf
