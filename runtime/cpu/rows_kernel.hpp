#pragma once
// Rows of f32, f16, bf16 or i8 times f32 tokens, over the same vector types and under the same rule
// as matmul_kernel.hpp: local to the source that instantiates it, no standard library.
// One token takes kRows rows at a time and memory sees as many streams; more tokens take blocks of
// kPairRows rows by kPairTokens tokens, the rows of such a run standing in the first cache.

#include <cstdint>

#include "runtime/cpu/matmul_job.hpp"

namespace sqf {

template <typename V>
struct RowsKernel {
  using F = typename V::F;
  static constexpr int kVectors = 64 / V::kLanes;
  static constexpr int64_t kRunBytes = 1 << 16, kShortAhead = 8192;

  static constexpr int bytes_of(Element type) {
    return type == Element::f32 ? 4 : type == Element::i8 ? 1 : 2;
  }

  template <Element Type>
  static F load(const uint8_t* values, int64_t k) {
    if constexpr (Type == Element::f16) return V::load_f16(values + k * 2);
    if constexpr (Type == Element::bf16) return V::load_bf16(values + k * 2);
    if constexpr (Type == Element::i8) return V::load_i8(values + k);
    return V::load_f(reinterpret_cast<const float*>(values + k * 4));
  }

  /// Rows and tokens of a block: rows past the last one repeat it and are not written.
  template <int Rows, int Tokens>
  struct Operands {
    const uint8_t* values[Rows];
    const float* x[Tokens];
  };

  /// sums[t * Rows + r][i] of column k + i of a block of 64.
  template <Element Type, int Rows, int Tokens>
  static void add_block(const Operands<Rows, Tokens>& o, int64_t k,
                        F (&sums)[Rows * Tokens][kVectors]) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; v++) {
      const int64_t at = k + v * V::kLanes;
      F x[Tokens];
#pragma GCC unroll 4
      for (int t = 0; t < Tokens; t++) x[t] = V::load_f(o.x[t] + at);
#pragma GCC unroll 4
      for (int r = 0; r < Rows; r++) {
        const F w = load<Type>(o.values[r], at);
#pragma GCC unroll 4
        for (int t = 0; t < Tokens; t++)
          sums[t * Rows + r][v] = V::fma(w, x[t], sums[t * Rows + r][v]);
      }
    }
  }

  /// The last block. Values are read up to the end of a vector (see RowsJob), tokens are not.
  template <Element Type, int Rows, int Tokens>
  static void add_last(const Operands<Rows, Tokens>& o, int64_t k, int64_t columns,
                       F (&sums)[Rows * Tokens][kVectors]) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; v++) {
      const int64_t at = k + v * V::kLanes, left = columns - at;
      if (left <= 0) continue;
      F x[Tokens];
#pragma GCC unroll 4
      for (int t = 0; t < Tokens; t++) x[t] = V::load_first(o.x[t] + at, left);
#pragma GCC unroll 4
      for (int r = 0; r < Rows; r++) {
        const F w = V::keep_first(load<Type>(o.values[r], at), left);
#pragma GCC unroll 4
        for (int t = 0; t < Tokens; t++)
          sums[t * Rows + r][v] = V::fma(w, x[t], sums[t * Rows + r][v]);
      }
    }
  }

  template <int Rows>
  [[gnu::always_inline]] static inline void store_all(const RowsJob& j, int64_t row, float* y,
                                                      const float* sums) {
    float v[Rows];
    for (int r = 0; r < Rows; r++) v[r] = sums[r];
    if (j.row_scales != nullptr)
      for (int r = 0; r < Rows; r++) v[r] *= j.row_scales[row + r];
    if (j.add)
      for (int r = 0; r < Rows; r++) v[r] += y[r];
    for (int r = 0; r < Rows; r++) y[r] = v[r];
  }

  template <int Rows, int Tokens>
  [[gnu::always_inline]] static inline void store(const RowsJob& j, int64_t row, int64_t token,
                                                  const float* sums) {
    for (int t = 0; t < Tokens; t++) {
      float* y = j.y + (token + t) * j.y_stride + row;
      if (j.rows - row >= Rows)
        store_all<Rows>(j, row, y, sums + t * Rows);
      else
        for (int64_t r = 0; r < j.rows - row; r++)
          store_all<1>(j, row + r, y + r, sums + t * Rows + r);
    }
  }

  template <Element Type, int Rows, int Tokens>
  static void block(const RowsJob& j, int64_t row, int64_t token, int64_t ahead) {
    constexpr int kBytes = bytes_of(Type);
    Operands<Rows, Tokens> o;
    for (int r = 0; r < Rows; r++)
      o.values[r] = j.values + (row + r < j.rows ? row + r : j.rows - 1) * j.row_bytes;
    for (int t = 0; t < Tokens; t++) o.x[t] = j.x + (token + t) * j.x_stride;
    F sums[Rows * Tokens][kVectors];
    for (int i = 0; i < Rows * Tokens; i++)
      for (int v = 0; v < kVectors; v++) sums[i][v] = V::broadcast(0.0f);
    int64_t k = 0;
    for (; k + 64 <= j.columns; k += 64) {
      if constexpr (Tokens == 1) {
#pragma GCC unroll 4
        for (int r = 0; r < Rows; r++)
          for (int line = 0; line < kBytes; line++)
            V::prefetch(o.values[r] + k * kBytes + ahead + line * 64);
      }
      add_block<Type, Rows, Tokens>(o, k, sums);
    }
    if (k < j.columns) {
      if constexpr (Tokens == 1)
        for (int r = 0; r < Rows; r++)
          for (int64_t at = k * kBytes; at < j.columns * kBytes; at += 64)
            V::prefetch(o.values[r] + at + ahead);
      add_last<Type, Rows, Tokens>(o, k, j.columns, sums);
    }
    F folded[Rows * Tokens];
    for (int i = 0; i < Rows * Tokens; i++) folded[i] = V::fold(sums[i]);
    float results[Rows * Tokens];
    V::sum(folded, results);
    store<Rows, Tokens>(j, row, token, results);
  }

  /// Rows of at most 64 columns, `Count` vectors: the tokens stay in registers while the rows pass.
  /// Sums of zeros are left out, which only the sign of a zero could tell, and V::sum() sees to it.
  template <Element Type, int Count, int Tokens>
  static void short_rows(const RowsJob& j, int64_t first, int64_t end, int64_t token) {
    constexpr int kLast = (Count - 1) * V::kLanes;
    const int64_t left = j.columns - kLast, ahead = kShortAhead / j.row_bytes * j.row_bytes;
    F x[Tokens][Count];
    for (int t = 0; t < Tokens; t++) {
      const float* from = j.x + (token + t) * j.x_stride;
      for (int v = 0; v + 1 < Count; v++) x[t][v] = V::load_f(from + v * V::kLanes);
      x[t][Count - 1] = V::load_first(from + kLast, left);
    }
    for (int64_t row = first; row < end; row += V::kRows) {
      F folded[Tokens][V::kRows];
#pragma GCC unroll 4
      for (int r = 0; r < V::kRows; r++) {
        const uint8_t* values = j.values + (row + r < j.rows ? row + r : j.rows - 1) * j.row_bytes;
        if constexpr (Tokens == 1)
          for (int64_t at = 0; at < j.row_bytes; at += 64) V::prefetch(values + ahead + at);
        F w[Count];
#pragma GCC unroll 8
        for (int v = 0; v < Count; v++) w[v] = load<Type>(values, v * V::kLanes);
        w[Count - 1] = V::keep_first(w[Count - 1], left);
#pragma GCC unroll 2
        for (int t = 0; t < Tokens; t++) {
          F products[Count];
#pragma GCC unroll 8
          for (int v = 0; v < Count; v++) products[v] = V::mul(w[v], x[t][v]);
          folded[t][r] = V::fold(products);
        }
      }
#pragma GCC unroll 2
      for (int t = 0; t < Tokens; t++) {
        float results[V::kRows];
        V::sum(folded[t], results);
        store<V::kRows, 1>(j, row, token + t, results);
      }
    }
  }

  template <Element Type, int Count>
  static void short_run(const RowsJob& j, int64_t first, int64_t end) {
    if constexpr (Count * V::kLanes <= 64) {
      if (j.columns > Count * V::kLanes) return short_run<Type, Count + 1>(j, first, end);
      int64_t token = 0;
      for (; token + 2 <= j.tokens; token += 2) short_rows<Type, Count, 2>(j, first, end, token);
      if (token < j.tokens) short_rows<Type, Count, 1>(j, first, end, token);
    }
  }

  template <Element Type>
  static void long_run(const RowsJob& j, int64_t first, int64_t end) {
    // What stands behind the rows at hand, where these are short; else further along in them.
    const int64_t together = V::kRows * j.row_bytes;
    const int64_t ahead = j.row_bytes >= 4096 ? 2048 : (4096 / together + 1) * together;
    int64_t token = 0;
    if constexpr (V::kPairTokens > 1)
      for (; token + V::kPairTokens <= j.tokens; token += V::kPairTokens)
        for (int64_t row = first; row < end; row += V::kPairRows)
          block<Type, V::kPairRows, V::kPairTokens>(j, row, token, ahead);
    for (; token < j.tokens; token++)
      for (int64_t row = first; row < end; row += V::kRows)
        block<Type, V::kRows, 1>(j, row, token, ahead);
  }

  template <Element Type>
  static void rows(const RowsJob& j) {
    int64_t run = j.tokens == 1 ? j.rows : kRunBytes / j.row_bytes / kTileRows * kTileRows;
    if (run < kTileRows) run = kTileRows;
    for (int64_t first = 0; first < j.rows; first += run) {
      const int64_t end = j.rows - first < run ? j.rows : first + run;
      if (j.columns <= 64)
        short_run<Type, 1>(j, first, end);
      else
        long_run<Type>(j, first, end);
    }
  }

  static void run(const RowsJob& j) {
    if (j.type == Element::f16) return rows<Element::f16>(j);
    if (j.type == Element::bf16) return rows<Element::bf16>(j);
    if (j.type == Element::i8) return rows<Element::i8>(j);
    rows<Element::f32>(j);
  }
};

}  // namespace sqf
