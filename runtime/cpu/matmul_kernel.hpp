#pragma once
// The integer kernels, written once over a vector type V that matmul_avx2.cpp and matmul_avx512.cpp
// define in their anonymous namespaces: every instantiation is local to the source that made it.
// For the same reason nothing of the standard library is called here.
//
// A tile's word line is 64 bytes, 16 rows by 4 columns; V takes it in kHalves strips of kLanes
// rows. Two forms:
//   direct  few tokens: codes go from memory through registers into the products. Judged by the
//           stored bytes moved per second, against a plain read of memory.
//   dense   more tokens: a chunk of the codes of kStrips strips is laid out as bytes once and
//           multiplied by all tokens, kTokens at a time, sums in registers.

#include <cstdint>

#include "runtime/cpu/matmul_job.hpp"
#include "runtime/cpu/tile_reader.hpp"

namespace sqf {

template <typename V>
struct Kernels : TileReader<V> {
  using Reader = TileReader<V>;
  using I = typename V::I;
  using F = typename V::F;
  using Block = typename Reader::Block;
  using Reader::kHalves;
  static constexpr int kStrips = 2;  ///< of the dense form: two tiles or the halves of one
  static constexpr int kTilesAtOnce = kStrips / kHalves;
  static constexpr int64_t kParametersAhead = 2;  ///< tiles; past the end it does no harm

  // ---- direct ----------------------------------------------------------------------------------

  template <int Width, int Tokens>
  static void multiply_block(const Block& b, const int8_t* x, int64_t stride,
                             I (&sums)[Tokens][kHalves]) {
#pragma GCC unroll 2
    for (int h = 0; h < kHalves; h++) {
      I codes[8];
      Reader::template unpack<Width>(b, h * 4 * V::kLanes, codes);
#pragma GCC unroll 4
      for (int t = 0; t < Tokens; t++) V::template dot32<Width>(&sums[t][h], codes, x + t * stride);
    }
  }

  template <int Tokens>
  static void finish_segment(const MatmulJob& j, const TileParameters& p, int64_t s, int64_t token,
                             int64_t segment, const I (&sums)[Tokens][kHalves],
                             F (&y)[Tokens][kHalves]) {
#pragma GCC unroll 4
    for (int t = 0; t < Tokens; t++) {
      const int64_t at = (token + t) * j.segments + segment;
      const F x_scale = V::broadcast(j.x_scales[at]);
#pragma GCC unroll 2
      for (int h = 0; h < kHalves; h++) {
        const F scale = V::mul(V::load_f(p.scales[s] + h * V::kLanes), x_scale);
        y[t][h] = V::fma(V::to_f(sums[t][h]), scale, y[t][h]);
        if (j.zero == ZeroKind::minimum_f16)
          y[t][h] =
              V::fma(V::load_f(p.minimums[s] + h * V::kLanes), V::broadcast(j.x_sums[at]), y[t][h]);
      }
    }
  }

  template <int Width, int Tokens>
  static void direct_tile(const MatmulJob& j, int64_t tile, int64_t token) {
    TileParameters parameters;
    F y[Tokens][kHalves];
    for (int t = 0; t < Tokens; t++)
      for (int h = 0; h < kHalves; h++) y[t][h] = V::broadcast(0.0f);
    Block b = Reader::block_at(j, tile, 0);
    const int8_t* x = j.q + token * j.stride;
    for (int64_t first = 0; first < j.segments; first += kChunkSegments) {
      const int64_t left = j.segments - first;
      const int64_t count = left < kChunkSegments ? left : kChunkSegments;
      Reader::expand(j, tile, first, count, &parameters);
      for (int64_t s = 0; s < count; s++) {
        const int64_t segment = first + s;
        const bool last = segment + 1 == j.segments;
        I sums[Tokens][kHalves];
        for (int t = 0; t < Tokens; t++)
          for (int h = 0; h < kHalves; h++)
            sums[t][h] = V::multiply_pairs(V::load_i(parameters.zeros[s] + h * V::kLanes),
                                           j.corrections[(token + t) * j.segments + segment]);
        int64_t blocks = j.segment_slots / kBlockColumns;
        if (last) blocks = j.full_blocks - segment * blocks;
        for (int64_t i = 0; i < blocks; i++) {
          Reader::template prefetch_block<Width>(b);
          multiply_block<Width, Tokens>(b, x, j.stride, sums);
          Reader::template advance<Width>(&b);
          x += kBlockColumns;
        }
        if (last && j.tail)
          multiply_block<Width, Tokens>(Reader::tail_of(j, tile), x, j.stride, sums);
        finish_segment<Tokens>(j, parameters, s, token, segment, sums, y);
      }
    }
    for (int t = 0; t < Tokens; t++)
      for (int h = 0; h < kHalves; h++) {
        const int64_t row = tile * kTileRows + h * V::kLanes;
        V::store_rows(j.y + (token + t) * j.y_stride + row, j.rows - row, y[t][h]);
      }
  }

  template <int Width>
  static void direct(const MatmulJob& j) {
    for (int64_t tile = j.tile_begin; tile < j.tile_end; tile++) {
      Reader::prefetch_parameters(j, tile + kParametersAhead);
      int64_t token = 0;
      if constexpr (V::kDirectTokens >= 4)
        for (; j.tokens - token >= 4; token += 4) direct_tile<Width, 4>(j, tile, token);
      for (; j.tokens - token >= 2; token += 2) direct_tile<Width, 2>(j, tile, token);
      for (; token < j.tokens; token++) direct_tile<Width, 1>(j, tile, token);
    }
  }

  // ---- dense -----------------------------------------------------------------------------------

  /// One chunk of kStrips strips: where codes, parameters and rows stand.
  struct Chunk {
    const uint8_t* codes[kStrips];
    const TileParameters* parameters[kStrips];
    int lane[kStrips];     ///< first row within its tile
    int64_t first, count;  ///< segments
    int64_t token;         ///< that job.results begin with
  };

  template <int Strips, int Tokens, int Run>
  static void dense_tokens(const MatmulJob& j, const Chunk& c, int64_t token) {
    float* results = j.results + (token - c.token) * kStrips * V::kLanes;
    F y[Strips][Tokens];
    for (int s = 0; s < Strips; s++)
      for (int t = 0; t < Tokens; t++)
        y[s][t] =
            c.first == 0 ? V::broadcast(0.0f) : V::load_f(results + (t * kStrips + s) * V::kLanes);
    const uint8_t* codes[Strips];
    for (int s = 0; s < Strips; s++) codes[s] = c.codes[s];
    const int8_t* x = j.q + token * j.stride + c.first * j.segment_slots;
    for (int64_t i = 0; i < c.count; i++) {
      const int64_t segment = c.first + i;
      const int64_t slots =
          segment + 1 == j.segments ? j.slots - segment * j.segment_slots : j.segment_slots;
      const int64_t at = token * j.segments + segment;
      I sums[Strips][Tokens];
      for (int s = 0; s < Strips; s++) {
        const I zero = V::load_i(c.parameters[s]->zeros[i] + c.lane[s]);
        for (int t = 0; t < Tokens; t++)
          sums[s][t] = V::multiply_pairs(zero, j.corrections[at + t * j.segments]);
      }
      for (int64_t k = 0; k < slots; k += 16) {
        V::template dot16<Run, Strips, Tokens>(sums, codes, x, j.stride);
        for (int s = 0; s < Strips; s++) codes[s] += 256;
        x += 16;
      }
      for (int s = 0; s < Strips; s++) {
        const F scale = V::load_f(c.parameters[s]->scales[i] + c.lane[s]);
        for (int t = 0; t < Tokens; t++)
          y[s][t] = V::fma(V::to_f(sums[s][t]),
                           V::mul(scale, V::broadcast(j.x_scales[at + t * j.segments])), y[s][t]);
        if (j.zero != ZeroKind::minimum_f16) continue;
        const F minimum = V::load_f(c.parameters[s]->minimums[i] + c.lane[s]);
        for (int t = 0; t < Tokens; t++)
          y[s][t] = V::fma(minimum, V::broadcast(j.x_sums[at + t * j.segments]), y[s][t]);
      }
    }
    for (int s = 0; s < Strips; s++)
      for (int t = 0; t < Tokens; t++) V::store_f(results + (t * kStrips + s) * V::kLanes, y[s][t]);
  }

  /// Tokens [begin, end) by kDenseTokens, the last two runs evened out.
  template <int Strips, int Run>
  static void dense_chunk(const MatmulJob& j, const Chunk& c, int64_t begin, int64_t end) {
    while (begin < end) {
      const int64_t left = end - begin;
      int64_t run = left < V::kDenseTokens ? left : V::kDenseTokens;
      if (left > V::kDenseTokens && left < 2 * V::kDenseTokens) run = (left + 1) / 2;
      dense_run<Strips, V::kDenseTokens, Run>(j, c, begin, run);
      begin += run;
    }
  }

  template <int Strips, int Tokens, int Run>
  static void dense_run(const MatmulJob& j, const Chunk& c, int64_t token, int64_t run) {
    if (run == Tokens) return dense_tokens<Strips, Tokens, Run>(j, c, token);
    if constexpr (Tokens > 1) dense_run<Strips, Tokens - 1, Run>(j, c, token, run);
  }

  template <int Strips, int Run>
  static void dense_tiles(const MatmulJob& j, int64_t tile, int64_t begin, int64_t end) {
    TileParameters parameters[Strips / kHalves];
    for (int64_t first = 0; first < j.segments; first += j.chunk_segments) {
      Chunk c;
      c.first = first;
      c.token = begin;
      c.count = j.segments - first < j.chunk_segments ? j.segments - first : j.chunk_segments;
      const int64_t slots = first + c.count == j.segments ? j.slots - first * j.segment_slots
                                                          : c.count * j.segment_slots;
      for (int i = 0; i < Strips / kHalves; i++) {
        Reader::expand(j, tile + i, first, c.count, &parameters[i]);
        uint8_t* room = j.scratch + i * (slots + 16) * kTileRows;
        const uint8_t* codes = Reader::spread(j, tile + i, first, slots, room);
        for (int h = 0; h < kHalves; h++) {
          const int s = i * kHalves + h;
          c.codes[s] = codes + h * 4 * V::kLanes;
          c.parameters[s] = &parameters[i];
          c.lane[s] = h * V::kLanes;
        }
      }
      dense_chunk<Strips, Run>(j, c, begin, end);
    }
    for (int64_t token = begin; token < end; token++)
      for (int s = 0; s < Strips; s++) {
        const int64_t row = tile * kTileRows + s * V::kLanes;
        V::store_rows(j.y + token * j.y_stride + row, j.rows - row,
                      V::load_f(j.results + ((token - begin) * kStrips + s) * V::kLanes));
      }
  }

  template <int Run>
  static void dense(const MatmulJob& j) {
    // As many tokens at a time as leave half of a 1 MiB cache to their codes.
    const int64_t block = j.token_block / V::kDenseTokens * V::kDenseTokens;
    for (int64_t begin = 0; begin < j.tokens; begin += block) {
      const int64_t end = j.tokens - begin < block ? j.tokens : begin + block;
      int64_t tile = j.tile_begin;
      for (; tile + kTilesAtOnce <= j.tile_end; tile += kTilesAtOnce)
        dense_tiles<kStrips, Run>(j, tile, begin, end);
      if constexpr (kTilesAtOnce > 1)
        for (; tile < j.tile_end; tile++) dense_tiles<kHalves, Run>(j, tile, begin, end);
    }
  }

  static void run(const MatmulJob& j) {
    // A group of 16 is half a block, which only the dense form takes.
    const bool direct_form = j.tokens <= V::kDirectMax && j.segment_slots % kBlockColumns == 0;
    if (direct_form) {
      switch (j.width) {
        case 1:
          return direct<1>(j);
        case 2:
          return direct<2>(j);
        case 3:
          return direct<3>(j);
        case 4:
          return direct<4>(j);
        case 5:
          return direct<5>(j);
        case 6:
          return direct<6>(j);
        case 7:
          return direct<7>(j);
        case 8:
          return direct<8>(j);
        default:
          break;
      }
    }
    V::dense(j);
  }
};

}  // namespace sqf
