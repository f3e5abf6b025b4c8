#pragma once
// A stored tile as the kernels take it in: scales and zeros of some segments as f32 and i16 pairs,
// codes of a block of 32 columns as bytes. Under the rules of matmul_kernel.hpp: written over a
// vector type V of the including source, nothing of the standard library.

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
struct TileReader {
  using I = typename V::I;
  using F = typename V::F;
  static constexpr int kHalves = kTileRows / V::kLanes;
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

  /// Scales and zeros of a tile are short stretches of streams of their own, which the hardware
  /// does not fetch ahead: asked for while the tile before is multiplied.
  static void prefetch_parameters(const MatmulJob& j, int64_t tile) {
    const int64_t scales = j.groups * j.scale_bytes, zeros = j.groups * j.zero_bytes;
    for (int64_t at = 0; at < scales; at += 64) V::prefetch(j.scales + tile * scales + at);
    for (int64_t at = 0; at < zeros; at += 64) V::prefetch(j.zeros + tile * zeros + at);
    if (j.row_factors != nullptr)
      V::prefetch(reinterpret_cast<const uint8_t*>(j.row_factors + tile * kTileRows));
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
    // The caller moved the digit to bits Bit, Bit + 1, ... of each byte by a 16-bit shift; what
    // strayed in from the byte beside is masked away.
    constexpr int kMask = ((1 << Bits) - 1) << Bit;
    *code = First ? V::bit_and(word, V::broadcast_8(kMask))
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
        const I digit = V::bit_and(V::shift_right(word, bits * (i % digits)), mask);
        out[i] = V::bit_or(out[i], V::shift_left(digit, to));
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
};

}  // namespace sqf
