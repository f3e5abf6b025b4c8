#pragma once
// The f32 steps of a forward pass that are no matrix product: norm, rotary positions, attention
// over the cache, gated activation. Compiled for several instruction sets and chosen at load;
// fixed lanes and fused multiply-adds give the same bits on every CPU that has these.

#include <cstdint>
#include <span>

namespace sqf {

/// out = x / sqrt(mean(x^2) + epsilon) * weight, all [n]. out may be x.
void rms_norm(const float* x, const float* weight, int64_t n, float epsilon, float* out);

/// out[i] = silu(gate[i]) * up[i]; out may be either.
void silu_multiply(const float* gate, const float* up, int64_t n, float* out);

/// x[i] += y[i]
void add(const float* y, int64_t n, float* x);

/// Rotates one head in place: pairs are (i, i + dim/2). cosines, sines [dim/2].
void rotate(float* head, const float* cosines, const float* sines, int64_t dim);

/// Keys of one head in a cache: [position / 16][dim][16 positions]; values: [position][dim].
/// A key's 16 neighbours stand side by side, so scores need no sums across lanes.
struct HeadCache {
  float* keys;
  float* values;
};
void store_key(const float* key, int64_t position, int64_t dim, float* keys);

/// One query against positions 0..length-1 of its head's cache.
struct Query {
  const float* q;  ///< [dim]
  int64_t length;  ///< at least 1
  float* out;      ///< [dim]
};
inline constexpr int64_t kQueryBlock = 4;

/// Floats of scratch that attend() needs for lengths up to `length`.
int64_t attention_scratch(int64_t length);

/// out = softmax(q . K / sqrt(dim)) V for up to kQueryBlock queries on one cache. dim a multiple
/// of 2; lengths of neighbours should be close, since all are scored up to the longest.
void attend(std::span<const Query> queries, HeadCache cache, int64_t dim, float* scratch);

}  // namespace sqf
