#pragma once
// Matrix products in f32 for calibration. Every output is one fused multiply-add after another in
// ascending k, so the result has the same bits for any register width, blocking and thread count
// on CPUs that have the instruction (without it each product is rounded too).

#include <cstdint>
#include <span>
#include <vector>

namespace sqf {

/// The right side of a product, [K][N], as panels of 16 columns: [N / 16][K][16], filled up with 0.
struct Panels {
  int64_t k = 0, n = 0;
  std::vector<float> data;

  void resize(int64_t depth, int64_t columns);
};

/// `w` [n][stride] holds the columns of the right side as rows, as a weight matrix does. Writes
/// columns [first, first + count); `first` a multiple of 16.
void pack_rows(const float* w, int64_t stride, int64_t first, int64_t count, Panels* out);

/// `b` [k][stride] is the right side as it stands.
void pack_columns(const float* b, int64_t stride, Panels* out);

/// Left side: element (t, k) is at[t * row + k * column].
struct Strided {
  const float* at;
  int64_t row, column;
};

/// y [rows][n], rows y_stride apart, = left * the first k rows and n columns of `right`.
struct Product {
  Strided left;
  int64_t rows;
  const Panels& right;
  int64_t k, n;
  float* y;
  int64_t y_stride;
};
void multiply(const Product& product);

/// All with fused multiply-adds that this CPU can run, the widest last; where there is none, what
/// runs anywhere. Each gives the same bits.
using Multiply = void (*)(const Product&);
std::span<const Multiply> multiply_kernels();

}  // namespace sqf
