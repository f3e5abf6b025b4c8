#include "converter/calibration/matmul.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace sqf {
namespace {

constexpr int64_t kLanes = 16;
constexpr int64_t kDepth = 256;  // a panel's share stays in the first cache
constexpr int64_t kRows = 96;    // rows of the left side that stay in the second

using F16 = float __attribute__((vector_size(64), aligned(4), may_alias));

/// N rows from t on, one panel, k in [from, to): all sums stay in registers.
template <int N>
[[gnu::always_inline]] inline void tile(const Product& p, int64_t t, int64_t panel, int64_t from,
                                        int64_t to) {
  const float* a = p.left.at + t * p.left.row + from * p.left.column;
  const float* b = p.right.data.data() + (panel * p.right.k + from) * kLanes;
  float* y = p.y + t * p.y_stride + panel * kLanes;
  const size_t bytes = static_cast<size_t>(std::min(kLanes, p.n - panel * kLanes)) * sizeof(float);
  F16 sums[N] = {};
  if (from > 0)
    for (int i = 0; i < N; i++) std::memcpy(&sums[i], y + i * p.y_stride, bytes);
  for (int64_t k = from; k < to; k++, a += p.left.column, b += kLanes) {
    F16 column;
    std::memcpy(&column, b, sizeof column);
#pragma GCC unroll 12
    for (int i = 0; i < N; i++) sums[i] = column * a[i * p.left.row] + sums[i];
  }
  for (int i = 0; i < N; i++) std::memcpy(y + i * p.y_stride, &sums[i], bytes);
}

template <int N>
[[gnu::always_inline]] inline void blocks(const Product& p) {
  const int64_t panels = (p.n + kLanes - 1) / kLanes;
  for (int64_t first = 0; first < p.rows; first += kRows) {
    const int64_t last = std::min(first + kRows, p.rows);
    for (int64_t from = 0; from < p.k; from += kDepth) {
      const int64_t to = std::min(from + kDepth, p.k);
      for (int64_t panel = 0; panel < panels; panel++) {
        int64_t t = first;
        for (; t + N <= last; t += N) tile<N>(p, t, panel, from, to);
        for (; t + 4 <= last; t += 4) tile<4>(p, t, panel, from, to);
        for (; t < last; t++) tile<1>(p, t, panel, from, to);
      }
    }
  }
}

// As many sums as registers hold and the latency of the multiply-add wants.
#ifdef __x86_64__
[[gnu::target("arch=x86-64-v4")]] void multiply_avx512(const Product& p) {
  blocks<12>(p);
}
[[gnu::target("arch=x86-64-v3")]] void multiply_avx2(const Product& p) {
  blocks<6>(p);
}
#endif

void multiply_any(const Product& p) {
  blocks<4>(p);
}

}  // namespace

void Panels::resize(int64_t depth, int64_t columns) {
  k = depth;
  n = columns;
  data.assign(static_cast<size_t>((n + kLanes - 1) / kLanes * kLanes * k), 0.0f);
}

void pack_rows(const float* w, int64_t stride, int64_t first, int64_t count, Panels* out) {
  assert(first % kLanes == 0 && first + count <= out->n);
  for (int64_t row = 0; row < count; row++) {
    const int64_t column = first + row;
    float* to = out->data.data() + column / kLanes * out->k * kLanes + column % kLanes;
    const float* from = w + row * stride;
    for (int64_t k = 0; k < out->k; k++) to[k * kLanes] = from[k];
  }
}

void pack_columns(const float* b, int64_t stride, Panels* out) {
  for (int64_t first = 0; first < out->n; first += kLanes) {
    const size_t bytes = static_cast<size_t>(std::min(kLanes, out->n - first)) * sizeof(float);
    float* to = out->data.data() + first * out->k;
    for (int64_t k = 0; k < out->k; k++)
      std::memcpy(to + k * kLanes, b + k * stride + first, bytes);
  }
}

std::span<const Multiply> multiply_kernels() {
#ifdef __x86_64__
  static constexpr Multiply kFused[] = {multiply_avx2, multiply_avx512};
  if (__builtin_cpu_supports("x86-64-v4")) return kFused;
  if (__builtin_cpu_supports("x86-64-v3")) return std::span(kFused).first(1);
#endif
  static constexpr Multiply kAny[] = {multiply_any};
  return kAny;
}

void multiply(const Product& product) {
  assert(product.k <= product.right.k && product.n <= product.right.n);
  static const Multiply widest = multiply_kernels().back();
  widest(product);
}

}  // namespace sqf
