#pragma once
// A warp's part of attention on tensor cores: softmax on the way, keys and values read once for all
// query heads that share them. Scores and sums are as exact as in f32: queries and weights are two
// f16 each, keys and values are f16 in the cache. A value that is no number reaches all rows of the
// tile that sees its strip, also those whose weight for it is 0.

#include "cuda/kernels/attention_shape.hpp"
#include "cuda/kernels/tile.cuh"

namespace sqf {

/// Weights are 2 to this times what they are, so that small ones are not lost in f16; the sum that
/// they are divided by is as well.
inline constexpr float kWeightExponent = 15;

__device__ inline float power_of_two(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/// What scores are measured from: where no position was seen yet, anything but infinity.
__device__ inline float base_of(float largest) {
  return largest == -INFINITY ? 0.0f : largest;
}

__device__ inline void load_matrices(uint32_t (&to)[4], uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(address)
               : "memory");
}
__device__ inline void load_transposed(uint32_t (&to)[4], uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(address)
               : "memory");
}

/// Two f32 as pairs of f16: the values, and what rounding lost.
struct SplitPair {
  uint32_t high, low;
  __device__ SplitPair(float x, float y) {
    const __half2 h = __floats2half2_rn(x, y);
    const float2 back = __half22float2(h);
    const __half2 l = __floats2half2_rn(x - back.x, y - back.y);
    high = *reinterpret_cast<const uint32_t*>(&h);
    low = *reinterpret_cast<const uint32_t*>(&l);
  }
};

__device__ inline void store_8(uint32_t to, uint32_t a, uint32_t b) {
  asm volatile("st.shared.v2.b32 [%0], {%1, %2};" ::"r"(to), "r"(a), "r"(b) : "memory");
}

/// Two blocks of eight columns.
__device__ inline void multiply_both(float (&c)[4], float (&d)[4], const uint32_t (&a)[4],
                                     const uint32_t (&b)[4]) {
  multiply_f16(c, a, b[0], b[1]);
  multiply_f16(d, a, b[2], b[3]);
}

/// The rows and positions of a block.
struct AttentionTile {
  int group;  ///< query heads of a KV head
  int kv_head, first_row, row_count;
  int first;       ///< position of the first token
  int begin, end;  ///< positions of the block
  int shares;      ///< blocks that share the rows

  __device__ int token_of(int row) const { return (first_row + min(row, row_count - 1)) / group; }

  /// Where a row's query and result are.
  __device__ int64_t place(const AttentionArguments& a, int row) const {
    const int token = (first_row + row) / group, head = (first_row + row) % group;
    return (static_cast<int64_t>(token) * a.heads + kv_head * group + head) * a.dim;
  }
};

template <int Dim, bool Many>
struct WarpAttention {
  static constexpr int kRowWarps = attention_shape(Dim, Many).row_warps;
  static constexpr int kTeams = attention_shape(Dim, Many).teams;
  static constexpr int kStrip = attention_shape(Dim, Many).strip;
  static constexpr int kRing = attention_shape(Dim, Many).ring;
  static constexpr int kQuantum = attention_shape(Dim, Many).quantum();
  static constexpr int kLeast = attention_shape(Dim, Many).least;
  static constexpr int kPieceBytes = attention_shape(Dim, Many).piece_bytes();
  static constexpr int kQueryBytes = attention_shape(Dim, Many).query_bytes();
  static constexpr int kSharedBytes = attention_shape(Dim, Many).shared_bytes();
  static constexpr int kRows = 16 * kRowWarps, kWarps = kRowWarps * kTeams, kThreads = 32 * kWarps;
  static constexpr int kRowBytes = Dim * 2, kLowBytes = kRows * kRowBytes;
  static constexpr bool kHold = !Many && Dim <= 128;  // queries in registers
  static constexpr int kPitch = Dim + 8;              // floats of a team's row of sums
  static constexpr int kTeamRows = kTeams * kRows;
  static_assert(kRing % 2 == 0);
  static_assert(kTeams == 1 || kTeamRows * (kPitch + 3) * 4 <= kSharedBytes);
  static_assert(attention_shape(Dim, Many).most * kRows * 4 <= kSharedBytes);

  const AttentionArguments& a;
  AttentionTile& tile;  // in shared memory
  float* scales;        // [kRows] there: a row's scores times it are powers of two
  uint16_t* tokens;     // [kRows] there: of a row
  float* memory;        // queries, then the teams' rings
  Lane lane;
  int warp, row_warp, team;
  int end;                     // of the block's positions
  float largest[2], total[2];  // of what was seen: of all lanes t, of this one
  float sum[Dim / 8][4];
  uint32_t held[kHold ? Dim / 16 : 1][2][4];

  __device__ WarpAttention(const AttentionArguments& arguments, AttentionTile& shared_tile,
                           float* shared_scales, uint16_t* shared_tokens, float* shared)
      : a(arguments),
        tile(shared_tile),
        scales(shared_scales),
        tokens(shared_tokens),
        memory(shared) {
    warp = threadIdx.x / 32, row_warp = warp % kRowWarps, team = warp / kRowWarps;
  }

  /// Rows and positions of the block; of positions there may be none.
  __device__ AttentionTile choose() const {
    AttentionTile b;
    b.group = a.heads / a.kv_heads;
    // The last rows see most: they begin first.
    b.kv_head = blockIdx.x % a.kv_heads;
    b.first_row = (gridDim.x / a.kv_heads - 1 - blockIdx.x / a.kv_heads) * kRows;
    b.row_count = min(kRows, a.tokens * b.group - b.first_row);
    b.first = *a.position;
    const int seen = b.first + b.token_of(kRows) + 1;
    int share = (seen + gridDim.y - 1) / gridDim.y;
    share = max(kLeast, (share + kQuantum - 1) / kQuantum * kQuantum);
    if (gridDim.y == 1) share = seen;
    b.shares = (seen + share - 1) / share;
    b.begin = min(seen, blockIdx.y * share);
    b.end = min(seen, b.begin + share);
    return b;
  }

  // ---- copies

  static constexpr int kPieces = Dim / 8;  // of 16 bytes, in a row
  static constexpr int kTeamThreads = 32 * kRowWarps;
  static constexpr int kStep = kTeamThreads / kPieces;  // rows that they copy at once

  /// Of 16 bytes of a row in shared memory: eight rows have one column in eight different places.
  static __device__ uint32_t swizzled(int row, int piece) {
    return row * kRowBytes + ((piece ^ (row & 7)) << 4);
  }
  __device__ uint32_t queries() const { return shared_address(memory); }
  /// Pieces are counted on, keys and values of a strip in turn.
  __device__ uint32_t piece_place(int piece) const {
    return shared_address(memory) + kQueryBytes + (team * kRing + piece % kRing) * kPieceBytes;
  }

  /// A piece of the strip at `first`. What lies behind the last position or a head's numbers
  /// becomes 0: nothing that is no number meets a weight of 0.
  __device__ void fetch(const AttentionTile& b, const uint16_t* cache, int piece, int first) {
    if (first < b.end) {
      const int thread = threadIdx.x % kTeamThreads, row = thread / kPieces;
      const int bytes = thread % kPieces * 8 < a.dim ? 16 : 0;
      const int64_t position = static_cast<int64_t>(b.kv_head) * a.context + first + row;
      const uint16_t* from = cache + position * a.dim + thread % kPieces * 8;
      const uint32_t to = piece_place(piece) + swizzled(row, thread % kPieces);
#pragma unroll
      for (int i = 0; i < kStrip / kStep; i++) {
        // The bits of `row` and of the step do not meet.
        const uint32_t place = (to ^ ((i * kStep & 7) << 4)) + i * kStep * kRowBytes;
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(place),
                     "l"(from + i * kStep * a.dim), "r"(first + row + i * kStep < b.end ? bytes : 0)
                     : "memory");
      }
    }
    commit_copies();
  }
  /// For the oldest piece; all of the team are done with the one before it.
  __device__ void wait() {
    wait_copies<kRing - 2>();
    if (kTeams > 1)
      __syncwarp();
    else
      __syncthreads();
  }

  // ---- queries

  /// Queries as two f16 each into shared memory. A power of two brings the largest number of a row
  /// to 1024, its scale takes it back.
  __device__ void load_queries(const AttentionTile& b) {
    constexpr int kQuads = Dim / 4, kLanes = kQuads < 32 ? kQuads : 32;
    constexpr int kOfLane = kQuads / kLanes, kOfWarp = kRows / kWarps;
    const int first = lane.lane % kLanes;
    const float root = 1.44269504f / sqrtf(static_cast<float>(a.dim));  // scores are of base 2
#pragma unroll 4
    for (int i = 0; i < kOfWarp; i += 32 / kLanes) {
      const int row = warp * kOfWarp + i + lane.lane / kLanes;
      float4 x[kOfLane];
      float most = 0;
#pragma unroll
      for (int j = 0; j < kOfLane; j++) {
        const int at = (first + j * kLanes) * 4;
        x[j] = {0, 0, 0, 0};
        if (row < b.row_count && at < a.dim)
          x[j] = *reinterpret_cast<const float4*>(a.q + b.place(a, row) + at);
        most = fmaxf(fmaxf(most, fmaxf(fabsf(x[j].x), fabsf(x[j].y))),
                     fmaxf(fabsf(x[j].z), fabsf(x[j].w)));
      }
#pragma unroll
      for (int step = 1; step < kLanes; step *= 2)
        most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, step));
      const uint32_t exponent = max(11u, __float_as_uint(most) >> 23);
      const float factor = __uint_as_float((264 - exponent) << 23);
      if (first == 0) {
        scales[row] = root * __uint_as_float((exponent - 10) << 23);
        tokens[row] = static_cast<uint16_t>(b.token_of(row));
      }
#pragma unroll
      for (int j = 0; j < kOfLane; j++) {
        const int quad = first + j * kLanes;
        const SplitPair p(x[j].x * factor, x[j].y * factor), r(x[j].z * factor, x[j].w * factor);
        const uint32_t to = queries() + swizzled(row, quad / 2) + quad % 2 * 8;
        store_8(to, p.high, r.high);
        store_8(to + kLowBytes, p.low, r.low);
      }
    }
  }

  /// Where a lane's row of four matrices is, of 16 rows and 16 columns: the first two below each
  /// other (queries, values) or side by side (keys).
  __device__ uint32_t below() const {
    return swizzled(lane.lane % 16, lane.lane / 16);
  }
  __device__ uint32_t beside() const {
    return swizzled(lane.lane / 16 * 8 + lane.lane % 8, lane.lane / 8 % 2);
  }
  /// 16 columns further on, `index` times. Rows begin at multiples of 128 bytes.
  static __device__ uint32_t columns(uint32_t place, int index) {
    return (place ^ (index % 4 * 32)) + index / 4 * 128;
  }
  __device__ void take_queries(int d, uint32_t (&high)[4], uint32_t (&low)[4]) const {
    const uint32_t from = columns(queries() + row_warp * 16 * kRowBytes + below(), d);
    load_matrices(high, from);
    load_matrices(low, from + kLowBytes);
  }

  /// False where the block has nothing to do.
  __device__ bool start() {
    const AttentionTile b = choose();
    if (b.begin == b.end) return false;
#pragma unroll
    for (int i = 0; i < kRing - 1; i++)
      fetch(b, i % 2 == 0 ? a.keys : a.values, i, b.begin + team * kStrip + i / 2 * kQuantum);
    load_queries(b);
    if (threadIdx.x == 0) tile = b;
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 2; i++) {
      largest[i] = -INFINITY, total[i] = 0;
    }
#pragma unroll
    for (int n = 0; n < Dim / 8; n++)
#pragma unroll
      for (int i = 0; i < 4; i++) sum[n][i] = 0;
    if constexpr (kHold)
#pragma unroll
      for (int d = 0; d < Dim / 16; d++) take_queries(d, held[d][0], held[d][1]);
    return true;
  }

  // ---- a strip

  using Scores = float[kStrip / 8][4];

  __device__ void score(int piece, Scores& s) {
    const uint32_t k = piece_place(piece) + beside();
    Scores lost;  // of queries' low halves: by themselves where there are registers for it
#pragma unroll
    for (int n = 0; n < kStrip / 8; n++)
#pragma unroll
      for (int i = 0; i < 4; i++) s[n][i] = lost[n][i] = 0;
#pragma unroll
    for (int d = 0; d < Dim / 16; d++) {
      uint32_t high[4], low[4];
      if constexpr (!kHold) take_queries(d, high, low);
#pragma unroll
      for (int n = 0; n < kStrip / 16; n++) {
        uint32_t b[4];
        load_matrices(b, columns(k + n * 16 * kRowBytes, d));
        multiply_both(s[2 * n], s[2 * n + 1], kHold ? held[d][0] : high, b);
        multiply_both(kHold ? lost[2 * n] : s[2 * n], kHold ? lost[2 * n + 1] : s[2 * n + 1],
                      kHold ? held[d][1] : low, b);
      }
    }
    if constexpr (kHold)
#pragma unroll
      for (int n = 0; n < kStrip / 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) s[n][i] += lost[n][i];
  }

  /// Scores become weights; sums are brought to the new largest score.
  __device__ void weigh(int position, Scores& s) {
    const int row = row_warp * 16 + lane.g;
    if (position + kStrip - 1 > tile.first + tokens[row_warp * 16]) {
      const int last[2] = {tile.first + tokens[row], tile.first + tokens[row + 8]};
#pragma unroll
      for (int n = 0; n < kStrip / 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++)
          if (position + 8 * n + 2 * lane.t + i % 2 > last[i / 2]) s[n][i] = -INFINITY;
    }
    float keep[2], shift[2], scale[2];
#pragma unroll
    for (int r = 0; r < 2; r++) {
      scale[r] = scales[row + 8 * r];
      float most = -INFINITY;
#pragma unroll
      for (int n = 0; n < kStrip / 8; n++) most = fmaxf(most, fmaxf(s[n][2 * r], s[n][2 * r + 1]));
      most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 1));
      most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 2));
      const float now = fmaxf(largest[r], most * scale[r]);
      keep[r] = power_of_two(largest[r] - base_of(now));
      shift[r] = kWeightExponent - base_of(now);
      largest[r] = now;
      total[r] *= keep[r];
    }
#pragma unroll
    for (int n = 0; n < kStrip / 8; n++)
#pragma unroll
      for (int i = 0; i < 4; i++) {
        s[n][i] = power_of_two(fmaf(s[n][i], scale[i / 2], shift[i / 2]));
        total[i / 2] += s[n][i];
      }
    if (__all_sync(0xffffffffu, keep[0] == 1.0f && keep[1] == 1.0f)) return;
#pragma unroll
    for (int n = 0; n < Dim / 8; n++)
#pragma unroll
      for (int i = 0; i < 4; i++) sum[n][i] *= keep[i / 2];
  }

  __device__ void add_values(int piece, const Scores& s) {
    const uint32_t v = piece_place(piece) + below();
#pragma unroll
    for (int k = 0; k < kStrip / 16; k++) {
      uint32_t high[4], low[4];
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const float(&from)[4] = s[2 * k + i / 2];
        const SplitPair p(from[i % 2 * 2], from[i % 2 * 2 + 1]);
        high[i] = p.high, low[i] = p.low;
      }
#pragma unroll
      for (int d = 0; d < Dim / 16; d++) {
        uint32_t b[4];
        load_transposed(b, columns(v + k * 16 * kRowBytes, d));
        multiply_both(sum[2 * d], sum[2 * d + 1], high, b);
        multiply_both(sum[2 * d], sum[2 * d + 1], low, b);
      }
    }
  }

  __device__ void run_strips() {
    int strip = 0;
    for (int position = tile.begin + team * kStrip; position < tile.end; position += kQuantum) {
      const bool sees =
          row_warp * 16 < tile.row_count && position <= tile.first + tokens[row_warp * 16 + 15];
      const int piece = kRing == 2 ? 0 : 2 * strip++;
      Scores s;
      wait();
      fetch(tile, a.values, piece + kRing - 1, position + (kRing - 1) / 2 * kQuantum);
      if (sees) {
        score(piece, s);
        weigh(position, s);
      }
      wait();
      fetch(tile, a.keys, piece + kRing, position + kRing / 2 * kQuantum);
      if (sees) add_values(piece + 1, s);
    }
    wait_copies<0>();
#pragma unroll
    for (int r = 0; r < 2; r++) {
      total[r] += __shfl_xor_sync(0xffffffffu, total[r], 1);
      total[r] += __shfl_xor_sync(0xffffffffu, total[r], 2);
    }
  }
};

}  // namespace sqf
