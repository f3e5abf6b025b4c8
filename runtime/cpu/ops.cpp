#include "runtime/cpu/ops.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

// One source, three machine codes; the loader picks one by what the CPU has.
#define SQF_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))

namespace sqf {
namespace {

using F16 = float __attribute__((vector_size(64), aligned(4), may_alias));
using I16 = int32_t __attribute__((vector_size(64)));
constexpr int64_t kLanes = 16;

#define SQF_INLINE inline __attribute__((always_inline))

SQF_INLINE F16 splat(float value) {
  return F16{} + value;
}

SQF_INLINE void load(const float* at, F16& out) {
  std::memcpy(&out, at, sizeof out);
}

SQF_INLINE float sum_lanes(const F16& v) {
  // A fixed tree, so that the order does not depend on the instruction set.
  float lane[kLanes];
  std::memcpy(lane, &v, sizeof lane);
  for (int64_t width = kLanes / 2; width > 0; width /= 2)
    for (int64_t i = 0; i < width; i++) lane[i] += lane[i + width];
  return lane[0];
}

/// e^x to 2 ulp for x in [-87, 88]; clamped outside. Cody-Waite reduction by ln 2, then the
/// minimax polynomial of degree 6 on [-ln2/2, ln2/2] (coefficients of the Cephes library).
SQF_INLINE void exp16(F16& x) {
  const F16 low = splat(-87.0f), high = splat(88.0f);
  x = x < low ? low : x;
  x = x > high ? high : x;
  const F16 round = splat(12582912.0f);  // 1.5 * 2^23: adding it leaves the nearest integer
  const F16 n = (x * 1.44269504088896341f + round) - round;
  const F16 r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  F16 p = splat(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const I16 power = (__builtin_convertvector(n, I16) + 127) << 23;
  F16 scale;
  std::memcpy(&scale, &power, sizeof scale);
  x = p * scale;
}

SQF_INLINE float exp1(float x) {
  F16 v = splat(x);
  exp16(v);
  return v[0];
}

}  // namespace

SQF_CLONES void rms_norm(const float* x, const float* weight, int64_t n, float epsilon,
                         float* out) {
  F16 squares = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    F16 v;
    load(x + i, v);
    squares = v * v + squares;
  }
  float sum = sum_lanes(squares);
  for (; i < n; i++) sum += x[i] * x[i];
  const float scale = 1.0f / std::sqrt(sum / static_cast<float>(n) + epsilon);
  for (i = 0; i < n; i++) out[i] = x[i] * scale * weight[i];
}

SQF_CLONES void silu_multiply(const float* gate, const float* up, int64_t n, float* out) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    F16 g, u;
    load(gate + i, g);
    load(up + i, u);
    F16 e = -g;
    exp16(e);
    const F16 value = g / (1.0f + e) * u;
    std::memcpy(out + i, &value, sizeof value);
  }
  for (; i < n; i++) out[i] = gate[i] / (1.0f + exp1(-gate[i])) * up[i];
}

SQF_CLONES void add(const float* y, int64_t n, float* x) {
  for (int64_t i = 0; i < n; i++) x[i] += y[i];
}

SQF_CLONES void rotate(float* head, const float* cosines, const float* sines, int64_t dim) {
  const int64_t half = dim / 2;
  for (int64_t i = 0; i < half; i++) {
    const float a = head[i], b = head[i + half];
    head[i] = a * cosines[i] - b * sines[i];
    head[i + half] = b * cosines[i] + a * sines[i];
  }
}

void store_key(const float* key, int64_t position, int64_t dim, float* keys) {
  float* block = keys + position / kLanes * dim * kLanes + position % kLanes;
  for (int64_t i = 0; i < dim; i++) block[i * kLanes] = key[i];
}

int64_t attention_scratch(int64_t length) {
  return kQueryBlock * ((length + kLanes - 1) / kLanes * kLanes);
}

namespace {

/// Scores of four queries on kBlocks * 16 positions. Each key load serves four queries and each
/// query's element every block; two blocks keep enough sums in flight to hide their latency.
template <int kBlocks>
SQF_INLINE void score_blocks(const std::array<const float*, kQueryBlock>& q, const float* keys,
                             int64_t dim, int64_t stride, float* scores) {
  F16 sums[kBlocks][kQueryBlock] = {};
  for (int64_t i = 0; i < dim; i++) {
    F16 key[kBlocks];
#pragma GCC unroll 2
    for (int b = 0; b < kBlocks; b++) load(keys + (b * dim + i) * kLanes, key[b]);
#pragma GCC unroll 4
    for (size_t n = 0; n < kQueryBlock; n++)
#pragma GCC unroll 2
      for (int b = 0; b < kBlocks; b++) sums[b][n] = key[b] * q[n][i] + sums[b][n];
  }
  const float scale = 1.0f / std::sqrt(static_cast<float>(dim));
  for (int b = 0; b < kBlocks; b++)
    for (int64_t n = 0; n < kQueryBlock; n++) {
      const F16 scaled = sums[b][n] * scale;
      std::memcpy(scores + n * stride + b * kLanes, &scaled, sizeof scaled);
    }
}

/// scores [kQueryBlock][stride] for all positions up to stride.
SQF_CLONES void score_keys(const std::array<const float*, kQueryBlock>& q, const float* keys,
                           int64_t dim, int64_t stride, float* scores) {
  int64_t at = 0;
  for (; at + 2 * kLanes <= stride; at += 2 * kLanes)
    score_blocks<2>(q, keys + at * dim, dim, stride, scores + at);
  if (at < stride) score_blocks<1>(q, keys + at * dim, dim, stride, scores + at);
}

/// Turns scores into weights in place; what lies past `length` becomes 0.
SQF_CLONES void softmax(float* scores, int64_t length, int64_t stride) {
  for (int64_t i = length; i < stride; i++) scores[i] = -std::numeric_limits<float>::infinity();
  F16 largest = splat(-std::numeric_limits<float>::infinity());
  for (int64_t i = 0; i < stride; i += kLanes) {
    F16 v;
    load(scores + i, v);
    largest = v > largest ? v : largest;
  }
  float top = largest[0];
  for (int64_t i = 1; i < kLanes; i++) top = std::max(top, largest[i]);
  F16 sums = {};
  for (int64_t i = 0; i < stride; i += kLanes) {
    F16 v;
    load(scores + i, v);
    v -= top;
    exp16(v);
    sums += v;
    std::memcpy(scores + i, &v, sizeof v);
  }
  // What lies past the end added at most 15 e^-87 to a sum of at least 1: nothing in f32.
  const float scale = 1.0f / sum_lanes(sums);
  for (int64_t i = 0; i < length; i++) scores[i] *= scale;
  for (int64_t i = length; i < stride; i++) scores[i] = 0;
}

/// kBlocks * 16 columns of four outputs: the sum over positions of weight * value.
template <int kBlocks>
SQF_INLINE void weigh_blocks(const float* weights, int64_t stride, const float* values, int64_t dim,
                             int64_t length, const std::array<float*, kQueryBlock>& out,
                             int64_t at) {
  F16 sums[kBlocks][kQueryBlock] = {};
  for (int64_t p = 0; p < length; p++) {
    F16 value[kBlocks];
#pragma GCC unroll 2
    for (int b = 0; b < kBlocks; b++) load(values + p * dim + at + b * kLanes, value[b]);
#pragma GCC unroll 4
    for (int64_t n = 0; n < kQueryBlock; n++)
#pragma GCC unroll 2
      for (int b = 0; b < kBlocks; b++)
        sums[b][n] = value[b] * weights[n * stride + p] + sums[b][n];
  }
  // Backwards, since a block that is not full repeats its first query.
  for (size_t n = kQueryBlock; n-- > 0;)
    for (int b = 0; b < kBlocks; b++)
      std::memcpy(out[n] + at + b * kLanes, &sums[b][n], sizeof sums[b][n]);
}

/// Four outputs [dim]: the sum over positions of weight * value.
SQF_CLONES void weigh_values(const float* weights, int64_t stride, const float* values, int64_t dim,
                             int64_t length, const std::array<float*, kQueryBlock>& out) {
  int64_t at = 0;
  for (; at + 2 * kLanes <= dim; at += 2 * kLanes)
    weigh_blocks<2>(weights, stride, values, dim, length, out, at);
  for (; at + kLanes <= dim; at += kLanes)
    weigh_blocks<1>(weights, stride, values, dim, length, out, at);
  for (; at < dim; at++) {
    for (size_t n = kQueryBlock; n-- > 0;) {
      float sum = 0;
      for (int64_t p = 0; p < length; p++)
        sum = weights[static_cast<int64_t>(n) * stride + p] * values[p * dim + at] + sum;
      out[n][at] = sum;
    }
  }
}

}  // namespace

void attend(std::span<const Query> queries, HeadCache cache, int64_t dim, float* scratch) {
  // A block that is not full repeats its first query: the same work, written to the same place.
  std::array<const float*, kQueryBlock> q;
  std::array<float*, kQueryBlock> out;
  std::array<int64_t, kQueryBlock> lengths;
  int64_t longest = 0;
  for (size_t i = 0; i < kQueryBlock; i++) {
    const Query& query = queries[i < queries.size() ? i : 0];
    q[i] = query.q;
    out[i] = query.out;
    lengths[i] = query.length;
    longest = std::max(longest, query.length);
  }
  const int64_t stride = (longest + kLanes - 1) / kLanes * kLanes;
  score_keys(q, cache.keys, dim, stride, scratch);
  for (size_t i = 0; i < kQueryBlock; i++)
    softmax(scratch + static_cast<int64_t>(i) * stride, lengths[i], stride);
  weigh_values(scratch, stride, cache.values, dim, longest, out);
}

}  // namespace sqf
