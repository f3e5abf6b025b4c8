#include "converter/calibration/steps.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

// One source, several machine codes; the loader picks one by what the CPU has.
#ifdef __x86_64__
#define SQF_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define SQF_CLONES
#endif

namespace sqf {
namespace {

constexpr int64_t kLanes = 16;

/// Sixteen sums that run beside each other, joined in a fixed order.
struct Sums {
  float lane[kLanes] = {};

  float total() {
    for (int64_t width = kLanes / 2; width > 0; width /= 2)
      for (int64_t i = 0; i < width; i++) lane[i] += lane[i + width];
    return lane[0];
  }
};

/// e^x, x clamped to [-87, 88]: x = n ln 2 + r, and r's power series to the degree where what is
/// left out (r^8 / 8! for |r| <= ln 2 / 2) is below f32's rounding. No call, so loops vectorize.
inline __attribute__((always_inline)) float exponential(float x) {
  x = std::min(std::max(x, -87.0f), 88.0f);
  const float kRound = 12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest integer
  const float n = (x * 1.44269504f + kRound) - kRound;
  // ln 2 in two parts; the first has few bits, so that n times it is exact.
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.0f / 5040;
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  return p * std::bit_cast<float>((static_cast<int32_t>(n) + 127) << 23);
}

}  // namespace

SQF_CLONES void norm_step(const float* x, const float* weight, int64_t n, float epsilon,
                          float* out) {
  Sums squares;
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int64_t lane = 0; lane < kLanes; lane++) squares.lane[lane] += x[i + lane] * x[i + lane];
  float sum = squares.total();
  for (; i < n; i++) sum += x[i] * x[i];
  const float scale = 1.0f / std::sqrt(sum / static_cast<float>(n) + epsilon);
  for (i = 0; i < n; i++) out[i] = x[i] * scale * weight[i];
}

SQF_CLONES void rotary_step(float* head, const float* cosines, const float* sines, int64_t dim) {
  const int64_t half = dim / 2;
  for (int64_t i = 0; i < half; i++) {
    const float a = head[i], b = head[i + half];
    head[i] = a * cosines[i] - b * sines[i];
    head[i + half] = b * cosines[i] + a * sines[i];
  }
}

SQF_CLONES void softmax_step(float* x, int64_t length, int64_t padded, float scale) {
  float top = x[0];
  for (int64_t i = 1; i < length; i++) top = x[i] > top ? x[i] : top;
  for (int64_t i = 0; i < length; i++) x[i] = exponential((x[i] - top) * scale);
  Sums sums;
  int64_t i = 0;
  for (; i + kLanes <= length; i += kLanes)
    for (int64_t lane = 0; lane < kLanes; lane++) sums.lane[lane] += x[i + lane];
  float sum = sums.total();
  for (; i < length; i++) sum += x[i];
  const float share = 1.0f / sum;
  for (i = 0; i < length; i++) x[i] *= share;
  for (i = length; i < padded; i++) x[i] = 0;
}

SQF_CLONES void gate_step(const float* up, int64_t n, float* gate) {
  for (int64_t i = 0; i < n; i++) gate[i] = gate[i] / (1.0f + exponential(-gate[i])) * up[i];
}

SQF_CLONES void add_channels(const float* x, int64_t n, float* abs_max, double* abs,
                             double* square) {
  for (int64_t i = 0; i < n; i++) {
    const float size = std::abs(x[i]);
    const auto wide = static_cast<double>(size);
    abs_max[i] = size > abs_max[i] ? size : abs_max[i];
    abs[i] += wide;
    square[i] += wide * wide;
  }
}

SQF_CLONES void add_step(const float* y, int64_t n, float* x) {
  for (int64_t i = 0; i < n; i++) x[i] += y[i];
}

}  // namespace sqf
