#pragma once
// What a block of attention has, for the host that launches it and the kernel alike. Rows are pairs
// of a token and a query head of one KV head: row / group is the token, row % group the head. A
// *team* is the warps that share copies of keys and values; a *strip* is the positions that come at
// once, its keys and its values are *pieces*.

#include <cstdint>

namespace sqf {

inline constexpr int kMaxHeadDim = 256;

struct AttentionShape {
  int dim;        ///< of a head, padded
  int row_warps;  ///< of a team, 16 rows each
  int teams;      ///< of a block, which take strips in turn
  int strip;      ///< positions
  int ring;       ///< pieces of a team: one in use, the others on their way
  int least;      ///< positions of a block, where these are split over blocks,
  int most;       ///< and blocks that share a tile of rows

  constexpr int rows() const { return 16 * row_warps; }
  constexpr int threads() const { return 32 * row_warps * teams; }
  constexpr int quantum() const { return teams * strip; }  ///< positions of all teams' strips
  constexpr int query_bytes() const { return rows() * dim * 4; }
  constexpr int piece_bytes() const { return strip * dim * 2; }
  constexpr int shared_bytes() const { return query_bytes() + teams * ring * piece_bytes(); }
};

/// `many`: for more than 16 rows. Every shape leaves room for two blocks on a multiprocessor of
/// 164 KB, and for one where a block may have 99.
constexpr AttentionShape attention_shape(int dim, bool many) {
  if (!many) return {dim, 1, 4, 16, dim > 128 ? 2 : 4, 64, 64};
  if (dim <= 64) return {dim, 8, 1, 64, 4, 128, 16};
  if (dim <= 128) return {dim, 8, 1, 32, 2, 128, 16};
  return {dim, 4, 1, 16, 2, 128, 16};
}

struct AttentionArguments {
  const float* q;                 ///< [tokens][heads][dim], turned by position
  const uint16_t *keys, *values;  ///< [kv_heads][context][dim] f16
  const int32_t* position;        ///< of the first token
  float* out;                     ///< [tokens][heads][dim]
  float* partial;                 ///< [tiles * kv_heads][splits][rows][dim], where splits > 1
  float* statistics;  ///< [tiles * kv_heads][splits][rows][2]: largest score, sum of weights
  uint32_t* tickets;  ///< [tiles * kv_heads], 0 before and after
  int32_t heads, kv_heads, dim, context, tokens;
};

}  // namespace sqf
