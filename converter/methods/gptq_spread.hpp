#pragma once
// The inner loop of GPTQ, sixteen rows at once: takes errors, times a row of the Hessian's factor
// each, away from the columns to come. Products and differences are rounded one by one, errors in
// order, so every instruction set and any cutting into blocks give the same bits.

#include <cstdint>
#include <span>

namespace sqf {

/// x[k] -= error[j] * upper[j * stride + k], for k in [first, end), j in [0, count).
struct Spread {
  const float* error;  ///< [count][16]
  int64_t count;
  const float* upper;  ///< the row of the first error
  int64_t stride;
  int64_t first, end;
  float* x;  ///< [end][16]
};
void spread(const Spread& work);

/// All that this CPU can run, the widest last.
using SpreadKernel = void (*)(const Spread&);
std::span<const SpreadKernel> spread_kernels();

}  // namespace sqf
