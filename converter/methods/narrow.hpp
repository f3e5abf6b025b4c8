#pragma once
// Products of a large matrix with a few columns, for what looks only for its main directions. No
// sum crosses lanes, every product and every sum is rounded, in order: the same bits on every CPU.

#include <cstdint>
#include <span>

namespace sqf {

/// The narrow side has a multiple of this many columns.
constexpr int64_t kNarrow = 16;

/// The large side: [rows][columns], row-major.
struct Wide {
  const float* at;
  int64_t rows, columns;
};

struct NarrowKernels {
  const char* name;
  /// y [rows][width] = wide * x [columns][width].
  void (*forward)(const Wide& wide, const float* x, int64_t width, float* y);
  /// x [columns][width] = transposed wide * y [rows][width].
  void (*backward)(const Wide& wide, const float* y, int64_t width, float* x);
};

/// All that this CPU can run, the widest last.
std::span<const NarrowKernels> narrow_kernels();

}  // namespace sqf
