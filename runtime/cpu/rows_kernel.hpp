#pragma once
// Rows of f32, f16 or bf16 times f32 tokens, over the same vector types and under the same rule as
// matmul_kernel.hpp: local to the source that instantiates it, no standard library.
// One row at a time, so that memory sees one stream; four tokens share each loaded value.

#include <cstdint>

#include "runtime/cpu/matmul_job.hpp"

namespace sqf {

template <typename V>
struct RowsKernel {
  using F = typename V::F;
  static constexpr int kVectors = 64 / V::kLanes;

  template <Element Type>
  static F load(const uint8_t* values, int64_t k) {
    if constexpr (Type == Element::f16) return V::load_f16(values + k * 2);
    if constexpr (Type == Element::bf16) return V::load_bf16(values + k * 2);
    return V::load_f(reinterpret_cast<const float*>(values + k * 4));
  }

  /// sums[i] of column k + i of a block of 64, for each token.
  template <Element Type, int Tokens>
  static void add_block(const uint8_t* values, const float* x, int64_t x_stride, int64_t k,
                        F (&sums)[Tokens][kVectors]) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; v++) {
      const F w = load<Type>(values, k + v * V::kLanes);
#pragma GCC unroll 4
      for (int t = 0; t < Tokens; t++)
        sums[t][v] = V::fma(w, V::load_f(x + t * x_stride + k + v * V::kLanes), sums[t][v]);
    }
  }

  template <Element Type, int Tokens>
  static void row(const RowsJob& j, int64_t row, int64_t token) {
    constexpr int kBytes = Type == Element::f32 ? 4 : 2;
    const uint8_t* values = j.values + row * j.row_bytes;
    const float* x = j.x + token * j.x_stride;
    F sums[Tokens][kVectors];
    for (int t = 0; t < Tokens; t++)
      for (int v = 0; v < kVectors; v++) sums[t][v] = V::broadcast(0.0f);
    int64_t k = 0;
    for (; k + 64 <= j.columns; k += 64) {
#pragma GCC unroll 4
      for (int line = 0; line < kBytes; line++) V::prefetch(values + k * kBytes + 2048 + line * 64);
      add_block<Type, Tokens>(values, x, j.x_stride, k, sums);
    }
    if (k < j.columns) {
      uint8_t last_values[64 * kBytes] = {};
      float last_x[Tokens][64] = {};
      __builtin_memcpy(last_values, values + k * kBytes,
                       static_cast<size_t>((j.columns - k) * kBytes));
      for (int t = 0; t < Tokens; t++)
        __builtin_memcpy(last_x[t], x + t * j.x_stride + k, static_cast<size_t>(j.columns - k) * 4);
      add_block<Type, Tokens>(last_values, last_x[0], 64, 0, sums);
    }
    for (int t = 0; t < Tokens; t++) j.y[(token + t) * j.y_stride + row] = V::sum64(sums[t]);
  }

  template <Element Type>
  static void rows(const RowsJob& j) {
    for (int64_t r = 0; r < j.rows; r++) {
      int64_t token = 0;
      for (; token + V::kRowTokens <= j.tokens; token += V::kRowTokens)
        row<Type, V::kRowTokens>(j, r, token);
      for (; token < j.tokens; token++) row<Type, 1>(j, r, token);
    }
  }

  static void run(const RowsJob& j) {
    if (j.type == Element::f16) return rows<Element::f16>(j);
    if (j.type == Element::bf16) return rows<Element::bf16>(j);
    rows<Element::f32>(j);
  }
};

}  // namespace sqf
