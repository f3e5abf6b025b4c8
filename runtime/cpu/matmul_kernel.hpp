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

namespace sqf {

/// Scales, zeros and minimums of one tile for some segments, as f32 and as pairs of i16.
struct TileParameters {
  alignas(64) float scales[kChunkSegments][kTileRows];
  alignas(64) int32_t zeros[kChunkSegments][kTileRows];  ///< zero | 128 * zero << 16
  alignas(64) float minimums[kChunkSegments][kTileRows];
};

template <typename V>
struct Kernels {
  using I = typename V::I;
  using F = typename V::F;
  static constexpr int kHalves = kTileRows / V::kLanes;
  static constexpr int kStrips = 2;  ///< of the dense form: two tiles or the halves of one
  static constexpr int kTilesAtOnce = kStrips / kHalves;
  static constexpr int64_t kPrefetch = 4096;

  // ---- scales and zeros ------------------------------------------------------------------------

  template <typename Load>
  static void scales_with(const MatmulJob& j, int64_t tile, int64_t first, int64_t count,
                          TileParameters* out, Load load) {
    for (int h = 0; h < kHalves; h++) {
      const int64_t lane = h * V::kLanes;
      const F factor = j.row_factors != nullptr ? V::load_f(j.row_factors + tile * kTileRows + lane)
                                                : V::broadcast(1.0f);
      for (int64_t s = 0; s < count; s++) {
        const int64_t at = (tile * j.groups + (first + s) * j.group_step) * kTileRows + lane;
        // times 1 is exact, so one form serves encodings without row factors too
        V::store_f(out->scales[s] + lane, V::mul(load(at), factor));
      }
    }
  }

  static void expand_scales(const MatmulJob& j, int64_t tile, int64_t first, int64_t count,
                            TileParameters* out) {
    const uint8_t* base = j.scales;
    switch (j.scale_type) {
      case Element::u8:
        return scales_with(j, tile, first, count, out,
                           [=](int64_t at) { return V::to_f(V::load_u8(base + at)); });
      case Element::f16:
        return scales_with(j, tile, first, count, out,
                           [=](int64_t at) { return V::load_f16(base + at * 2); });
      case Element::bf16:
        return scales_with(j, tile, first, count, out,
                           [=](int64_t at) { return V::load_bf16(base + at * 2); });
      case Element::f32:
        return scales_with(j, tile, first, count, out, [=](int64_t at) {
          return V::load_f(reinterpret_cast<const float*>(base + at * 4));
        });
      default:
        const float* table = j.scale_table;
        return scales_with(j, tile, first, count, out,
                           [=](int64_t at) { return V::look_up(table, V::load_u8(base + at)); });
    }
  }

  template <typename Load>
  static void zeros_with(const MatmulJob& j, int64_t tile, int64_t first, int64_t count,
                         TileParameters* out, Load load) {
    for (int64_t s = 0; s < count; s++)
      for (int h = 0; h < kHalves; h++)
        V::store_i(out->zeros[s] + h * V::kLanes,
                   V::zero_pair(load(tile * j.groups + (first + s) * j.group_step, h)));
  }

  static void expand_zeros(const MatmulJob& j, int64_t tile, int64_t first, int64_t count,
                           TileParameters* out) {
    const uint8_t* base = j.zeros;
    switch (j.zero) {
      case ZeroKind::u4:
        return zeros_with(j, tile, first, count, out,
                          [=](int64_t at, int h) { return V::load_u4(base + at * 8, h); });
      case ZeroKind::u8:
        return zeros_with(j, tile, first, count, out, [=](int64_t at, int h) {
          return V::load_u8(base + at * kTileRows + h * V::kLanes);
        });
      case ZeroKind::minimum_f16:
        for (int64_t s = 0; s < count; s++) {
          const int64_t at = (tile * j.groups + (first + s) * j.group_step) * kTileRows;
          for (int lane = 0; lane < kTileRows; lane += V::kLanes)
            V::store_f(out->minimums[s] + lane, V::load_f16(base + (at + lane) * 2));
        }
        break;
      default:
        break;
    }
    const I constant = V::broadcast_i(j.zero_constant);
    zeros_with(j, tile, first, count, out, [=](int64_t, int) { return constant; });
  }

  [[gnu::noinline]] static void expand(const MatmulJob& j, int64_t tile, int64_t first,
                                       int64_t count, TileParameters* out) {
    expand_scales(j, tile, first, count, out);
    expand_zeros(j, tile, first, count, out);
  }

  // ---- codes -----------------------------------------------------------------------------------

  /// Where one block of 32 columns stands in each plane.
  struct Block {
    const uint8_t* planes[kMaxPlanes];
  };

  static Block block_at(const MatmulJob& j, int64_t tile, int64_t block) {
    Block b;
    for (int p = 0; p < j.plane_count; p++)
      b.planes[p] = j.planes[p] + tile * j.tile_bytes[p] + block * 64 * j.plane_bits[p];
    return b;
  }

  /// The last block where some plane ends within it: copied and filled with zeros.
  [[gnu::noinline]] static Block tail_of(const MatmulJob& j, int64_t tile) {
    const Block end = block_at(j, tile, j.full_blocks);
    Block b;
    for (int p = 0; p < j.plane_count; p++) {
      uint8_t* copy = j.tail_block + p * 512;
      const int64_t bytes = j.tile_bytes[p] - j.full_blocks * 64 * j.plane_bits[p];
      __builtin_memset(copy, 0, 512);
      __builtin_memcpy(copy, end.planes[p], static_cast<size_t>(bytes));
      b.planes[p] = copy;
    }
    return b;
  }

  template <int Bit, int Bits, bool First>
  static void put_digit(I word, I* code) {
    // The digit goes from bits `from` of each byte to bits `Bit`; what strays in from the next
    // byte of the 16-bit shift is masked away.
    constexpr int kMask = ((1 << Bits) - 1) << Bit;
    *code = First ? V::and_(word, V::broadcast_8(kMask))
                  : V::or_masked(*code, word, V::broadcast_8(kMask));
  }

  /// Codes of 32 columns of a strip, out[i] columns 4i..4i+3. Width as in MatmulJob.
  template <int Width>
  static void unpack(const Block& b, int64_t strip_offset, I (&out)[8]) {
    int plane = 0;
    if constexpr (Width == 8) {
#pragma GCC unroll 8
      for (int i = 0; i < 8; i++) out[i] = V::load_i(b.planes[0] + strip_offset + 64 * i);
    }
    if constexpr (Width < 8 && (Width & 4) != 0) {
      const uint8_t* p = b.planes[plane++] + strip_offset;
#pragma GCC unroll 4
      for (int i = 0; i < 4; i++) {
        const I word = V::load_i(p + 64 * i);
        put_digit<0, 4, true>(word, &out[2 * i]);
        put_digit<0, 4, true>(V::template shift<-4>(word), &out[2 * i + 1]);
      }
    }
    if constexpr ((Width & 2) != 0) {
      constexpr int kTo = Width & 4;
      constexpr bool kFirst = kTo == 0;
      const uint8_t* p = b.planes[plane++] + strip_offset;
#pragma GCC unroll 2
      for (int i = 0; i < 2; i++) {
        const I word = V::load_i(p + 64 * i);
        put_digit<kTo, 2, kFirst>(V::template shift<kTo>(word), &out[4 * i]);
        put_digit<kTo, 2, kFirst>(V::template shift<kTo - 2>(word), &out[4 * i + 1]);
        put_digit<kTo, 2, kFirst>(V::template shift<kTo - 4>(word), &out[4 * i + 2]);
        put_digit<kTo, 2, kFirst>(V::template shift<kTo - 6>(word), &out[4 * i + 3]);
      }
    }
    if constexpr ((Width & 1) != 0) {
      constexpr int kTo = Width & 6;
      constexpr bool kFirst = kTo == 0;
      const I word = V::load_i(b.planes[plane] + strip_offset);
      put_digit<kTo, 1, kFirst>(V::template shift<kTo>(word), &out[0]);
      put_digit<kTo, 1, kFirst>(V::template shift<kTo - 1>(word), &out[1]);
      put_digit<kTo, 1, kFirst>(V::template shift<kTo - 2>(word), &out[2]);
      put_digit<kTo, 1, kFirst>(V::template shift<kTo - 3>(word), &out[3]);
      put_digit<kTo, 1, kFirst>(V::template shift<kTo - 4>(word), &out[4]);
      put_digit<kTo, 1, kFirst>(V::template shift<kTo - 5>(word), &out[5]);
      put_digit<kTo, 1, kFirst>(V::template shift<kTo - 6>(word), &out[6]);
      put_digit<kTo, 1, kFirst>(V::template shift<kTo - 7>(word), &out[7]);
    }
  }

  /// The same for any planes, bit counts read at run time.
  static void unpack_any(const MatmulJob& j, const Block& b, int64_t strip_offset, I (&out)[8]) {
    for (int i = 0; i < 8; i++) out[i] = V::broadcast_i(0);
    int to = 0;
    for (int p = 0; p < j.plane_count; p++) {
      const int bits = j.plane_bits[p], digits = 8 / bits;
      const I mask = V::broadcast_8((1 << bits) - 1);
      for (int i = 0; i < 8; i++) {
        const I word = V::load_i(b.planes[p] + strip_offset + 64 * (i / digits));
        const I digit = V::and_(V::shift_right(word, bits * (i % digits)), mask);
        out[i] = V::or_(out[i], V::shift_left(digit, to));
      }
      to += bits;
    }
  }

  static void prefetch(const MatmulJob& j, const Block& b) {
    for (int p = 0; p < j.plane_count; p++)
      for (int i = 0; i < j.plane_bits[p]; i++) V::prefetch(b.planes[p] + kPrefetch + 64 * i);
  }

  template <int Width>
  static constexpr int plane_bits_of(int plane) {
    if (Width == 8) return plane == 0 ? 8 : 0;
    for (int bits = 4; bits >= 1; bits /= 2)
      if ((Width & bits) != 0 && plane-- == 0) return bits;
    return 0;
  }

  template <int Width>
  static void advance(Block* b) {
#pragma GCC unroll 3
    for (int p = 0; p < 3; p++)
      if (plane_bits_of<Width>(p) != 0) b->planes[p] += 64 * plane_bits_of<Width>(p);
  }

  template <int Width>
  static void prefetch_block(const Block& b) {
#pragma GCC unroll 3
    for (int p = 0; p < 3; p++)
      for (int i = 0; i < plane_bits_of<Width>(p); i++)
        V::prefetch(b.planes[p] + kPrefetch + 64 * i);
  }

  // ---- direct ----------------------------------------------------------------------------------

  template <int Width, int Tokens>
  static void multiply_block(const Block& b, const int8_t* x, int64_t stride,
                             I (&sums)[Tokens][kHalves]) {
#pragma GCC unroll 2
    for (int h = 0; h < kHalves; h++) {
      I codes[8];
      unpack<Width>(b, h * 4 * V::kLanes, codes);
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
    Block b = block_at(j, tile, 0);
    const int8_t* x = j.q + token * j.stride;
    for (int64_t first = 0; first < j.segments; first += kChunkSegments) {
      const int64_t left = j.segments - first;
      const int64_t count = left < kChunkSegments ? left : kChunkSegments;
      expand(j, tile, first, count, &parameters);
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
          prefetch_block<Width>(b);
          multiply_block<Width, Tokens>(b, x, j.stride, sums);
          advance<Width>(&b);
          x += kBlockColumns;
        }
        if (last && j.tail) multiply_block<Width, Tokens>(tail_of(j, tile), x, j.stride, sums);
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
      int64_t token = 0;
      if constexpr (V::kDirectTokens >= 4)
        for (; j.tokens - token >= 4; token += 4) direct_tile<Width, 4>(j, tile, token);
      for (; j.tokens - token >= 2; token += 2) direct_tile<Width, 2>(j, tile, token);
      for (; token < j.tokens; token++) direct_tile<Width, 1>(j, tile, token);
    }
  }

  // ---- dense -----------------------------------------------------------------------------------

  static void spread_block(const MatmulJob& j, const Block& b, uint8_t* out) {
    for (int h = 0; h < kHalves; h++) {
      const int64_t offset = h * 4 * V::kLanes;
      I codes[8];
      switch (j.width) {
        case 1:
          unpack<1>(b, offset, codes);
          break;
        case 2:
          unpack<2>(b, offset, codes);
          break;
        case 3:
          unpack<3>(b, offset, codes);
          break;
        case 4:
          unpack<4>(b, offset, codes);
          break;
        case 5:
          unpack<5>(b, offset, codes);
          break;
        case 6:
          unpack<6>(b, offset, codes);
          break;
        case 7:
          unpack<7>(b, offset, codes);
          break;
        case 8:
          unpack<8>(b, offset, codes);
          break;
        default:
          unpack_any(j, b, offset, codes);
          break;
      }
      for (int i = 0; i < 8; i++) V::store_i(out + offset + 64 * i, codes[i]);
    }
  }

  /// Codes of a tile for the slots of some segments as bytes [column / 4][16][4]; radix 256 stands
  /// so in the file already.
  static const uint8_t* spread(const MatmulJob& j, int64_t tile, int64_t first, int64_t slots,
                               uint8_t* out) {
    const int64_t begin = first * j.segment_slots / kBlockColumns;
    const int64_t end = begin + (slots + kBlockColumns - 1) / kBlockColumns;
    if (j.width == 8 && end <= j.full_blocks) return block_at(j, tile, begin).planes[0];
    for (int64_t i = begin; i < end; i++) {
      const Block b = i < j.full_blocks ? block_at(j, tile, i) : tail_of(j, tile);
      if (i < j.full_blocks) prefetch(j, b);
      spread_block(j, b, out + (i - begin) * 512);
    }
    return out;
  }

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
        expand(j, tile + i, first, c.count, &parameters[i]);
        uint8_t* room = j.scratch + i * (slots + 16) * kTileRows;
        const uint8_t* codes = spread(j, tile + i, first, slots, room);
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
