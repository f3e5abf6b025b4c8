#pragma once
// Tiles of f32, f16, bf16 or i8 times f32 tokens, over the same vector types and under the same
// rule as matmul_kernel.hpp: local to the source that instantiates it, no standard library.
// Rows stand in lanes, an activation is the same in all of them. Two forms:
//   direct  few tokens: values go from memory through registers into the sums.
//   wide    more tokens: some tiles are brought to f32 once, and stay in the second cache while
//           kWideTokens tokens at a time pass them.

#include <cstdint>

#include "runtime/cpu/matmul_job.hpp"

namespace sqf {

template <typename V>
struct ValuesKernel {
  using F = typename V::F;
  static constexpr int kHalves = kTileRows / V::kLanes;
  static constexpr int kChains = 4;
  static constexpr int64_t kLine = 64, kHalf = 4 * V::kLanes, kAhead = 4096;

  static constexpr int columns_in_word(Element type) {
    return type == Element::f32 ? 1 : type == Element::i8 ? 4 : 2;
  }

  static int64_t tile_bytes(const ValuesJob& j) {
    const int in_word = columns_in_word(j.type);
    return (j.columns + in_word - 1) / in_word * kLine;
  }

  /// out[i]: column i of the words of kLanes rows.
  template <Element Type>
  static void widen(const uint8_t* words, F (&out)[columns_in_word(Type)]) {
    if constexpr (Type == Element::f32) out[0] = V::load_f(reinterpret_cast<const float*>(words));
    if constexpr (Type == Element::f16) V::widen_f16(words, out);
    if constexpr (Type == Element::bf16) V::widen_bf16(words, out);
    if constexpr (Type == Element::i8) V::widen_i8(words, out);
  }

  /// The rows of lane `h * kLanes` on of a tile, for one token.
  static void finish(const ValuesJob& j, int64_t tile, int h, int64_t token,
                     const F (&sums)[kChains]) {
    const int64_t row = tile * kTileRows + h * V::kLanes, rows = j.rows - row;
    F v = V::add(V::add(sums[0], sums[2]), V::add(sums[1], sums[3]));
    if (j.row_scales != nullptr) v = V::mul(v, V::load_rows(j.row_scales + row, rows));
    float* y = j.y + token * j.y_stride + row;
    if (j.add) v = V::add(V::load_rows(y, rows), v);
    V::store_rows(y, rows, v);
  }

  // ---- direct ----------------------------------------------------------------------------------

  /// Columns k to k + Columns of all rows of a tile, k a multiple of 4.
  template <Element Type, int Tokens, int Columns>
  static void add_columns(const uint8_t* lines, const float* const (&x)[Tokens], int64_t k,
                          F (&sums)[Tokens][kHalves][kChains]) {
    constexpr int kInWord = columns_in_word(Type);
#pragma GCC unroll 4
    for (int first = 0; first < Columns; first += kInWord) {
#pragma GCC unroll 2
      for (int h = 0; h < kHalves; h++) {
        F w[kInWord];
        widen<Type>(lines + first / kInWord * kLine + h * kHalf, w);
#pragma GCC unroll 4
        for (int i = 0; i < kInWord; i++) {
          const int c = first + i;
          if (c >= Columns) continue;
#pragma GCC unroll 4
          for (int t = 0; t < Tokens; t++)
            sums[t][h][c] = V::fma(w[i], V::broadcast(x[t][k + c]), sums[t][h][c]);
        }
      }
    }
  }

  template <Element Type, int Tokens>
  static void direct_tile(const ValuesJob& j, int64_t tile, int64_t token) {
    constexpr int kLines = kChains / columns_in_word(Type);
    const uint8_t* lines = j.values + tile * tile_bytes(j);
    const float* x[Tokens];
    for (int t = 0; t < Tokens; t++) x[t] = j.x + (token + t) * j.x_stride;
    F sums[Tokens][kHalves][kChains];
    for (int t = 0; t < Tokens; t++)
      for (int h = 0; h < kHalves; h++)
        for (int c = 0; c < kChains; c++) sums[t][h][c] = V::broadcast(0.0f);
    int64_t k = 0;
    for (; k + kChains <= j.columns; k += kChains, lines += kLines * kLine) {
#pragma GCC unroll 4
      for (int i = 0; i < kLines; i++) V::prefetch(lines + i * kLine + kAhead);
      add_columns<Type, Tokens, kChains>(lines, x, k, sums);
    }
    if (j.columns - k == 1) add_columns<Type, Tokens, 1>(lines, x, k, sums);
    if (j.columns - k == 2) add_columns<Type, Tokens, 2>(lines, x, k, sums);
    if (j.columns - k == 3) add_columns<Type, Tokens, 3>(lines, x, k, sums);
    for (int t = 0; t < Tokens; t++)
      for (int h = 0; h < kHalves; h++) finish(j, tile, h, token + t, sums[t][h]);
  }

  template <Element Type, int Tokens>
  static void direct(const ValuesJob& j, int64_t tiles) {
    if (j.tokens == Tokens) {
      for (int64_t tile = 0; tile < tiles; tile++) direct_tile<Type, Tokens>(j, tile, 0);
      return;
    }
    if constexpr (Tokens > 1) direct<Type, Tokens - 1>(j, tiles);
  }

  // ---- wide ------------------------------------------------------------------------------------

  /// Tiles [begin, end) as f32, [column][16].
  template <Element Type>
  static const float* widen_tiles(const ValuesJob& j, int64_t begin, int64_t end) {
    if constexpr (Type == Element::f32)
      return reinterpret_cast<const float*>(j.values + begin * tile_bytes(j));
    constexpr int kInWord = columns_in_word(Type);
    const uint8_t* lines = j.values + begin * tile_bytes(j);
    float* out = j.wide;
    for (int64_t tile = begin; tile < end; tile++) {
      for (int64_t k = 0; k < j.columns; k += kInWord, lines += kLine) {
        V::prefetch(lines + kAhead);
#pragma GCC unroll 2
        for (int h = 0; h < kHalves; h++) {
          F w[kInWord];
          widen<Type>(lines + h * kHalf, w);
          // The last word may hold fewer columns; the next tile, or the room behind the last one,
          // takes what is too much.
#pragma GCC unroll 4
          for (int i = 0; i < kInWord; i++) V::store_f(out + i * kTileRows + h * V::kLanes, w[i]);
        }
        out += kInWord * kTileRows;
      }
      out -= (tile_bytes(j) / kLine * kInWord - j.columns) * kTileRows;
    }
    return j.wide;
  }

  template <int Tokens>
  static void wide_tile(const ValuesJob& j, const float* values, int64_t tile, int64_t token) {
    const float* x[Tokens];
    for (int t = 0; t < Tokens; t++) x[t] = j.x + (token + t) * j.x_stride;
    for (int h = 0; h < kHalves; h++) {
      F sums[Tokens][kChains];
      for (int t = 0; t < Tokens; t++)
        for (int c = 0; c < kChains; c++) sums[t][c] = V::broadcast(0.0f);
      const float* w = values + h * V::kLanes;
      int64_t k = 0;
      for (; k + kChains <= j.columns; k += kChains, w += kChains * kTileRows) {
#pragma GCC unroll 4
        for (int c = 0; c < kChains; c++) {
          const F column = V::load_f(w + c * kTileRows);
#pragma GCC unroll 8
          for (int t = 0; t < Tokens; t++)
            sums[t][c] = V::fma(column, V::broadcast(x[t][k + c]), sums[t][c]);
        }
      }
#pragma GCC unroll 4
      for (int c = 0; c < kChains - 1; c++)
        if (k + c < j.columns) {
          const F column = V::load_f(w + c * kTileRows);
#pragma GCC unroll 8
          for (int t = 0; t < Tokens; t++)
            sums[t][c] = V::fma(column, V::broadcast(x[t][k + c]), sums[t][c]);
        }
      for (int t = 0; t < Tokens; t++) finish(j, tile, h, token + t, sums[t]);
    }
  }

  template <int Tokens>
  static void wide_tokens(const ValuesJob& j, const float* values, int64_t begin, int64_t end,
                          int64_t token, int64_t count) {
    if (count == Tokens) {
      for (int64_t tile = begin; tile < end; tile++)
        wide_tile<Tokens>(j, values + (tile - begin) * j.columns * kTileRows, tile, token);
      return;
    }
    if constexpr (Tokens > 1) wide_tokens<Tokens - 1>(j, values, begin, end, token, count);
  }

  template <Element Type>
  static void wide(const ValuesJob& j, int64_t tiles) {
    for (int64_t begin = 0; begin < tiles; begin += j.wide_tiles) {
      const int64_t end = tiles - begin < j.wide_tiles ? tiles : begin + j.wide_tiles;
      const float* values = widen_tiles<Type>(j, begin, end);
      for (int64_t token = 0; token < j.tokens; token += V::kWideTokens) {
        const int64_t left = j.tokens - token;
        wide_tokens<V::kWideTokens>(j, values, begin, end, token,
                                    left < V::kWideTokens ? left : V::kWideTokens);
      }
    }
  }

  template <Element Type>
  static void run(const ValuesJob& j) {
    const int64_t tiles = (j.rows + kTileRows - 1) / kTileRows;
    if (j.tokens <= V::kDirectValues) return direct<Type, V::kDirectValues>(j, tiles);
    wide<Type>(j, tiles);
  }

  static void run(const ValuesJob& j) {
    if (j.type == Element::f16) return run<Element::f16>(j);
    if (j.type == Element::bf16) return run<Element::bf16>(j);
    if (j.type == Element::i8) return run<Element::i8>(j);
    run<Element::f32>(j);
  }
};

}  // namespace sqf
