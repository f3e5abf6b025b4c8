// The f32 steps against the same mathematics in f64, written out plainly.
#include "runtime/cpu/ops.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace sqf {
namespace {

std::vector<float> noise(size_t n, uint32_t seed, float scale = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> out(n);
  for (float& v : out) v = normal(random);
  return out;
}

TEST(Ops, RmsNorm) {
  for (int64_t n : {1, 15, 16, 64, 576, 577}) {
    const auto x = noise(static_cast<size_t>(n), 1, 3), w = noise(static_cast<size_t>(n), 2);
    std::vector<float> out(x.size());
    rms_norm(x.data(), w.data(), n, 1e-5f, out.data());
    double squares = 0;
    for (float v : x) squares += static_cast<double>(v) * v;
    const double scale = 1 / std::sqrt(squares / static_cast<double>(n) + 1e-5);
    for (size_t i = 0; i < x.size(); i++) {
      const double expected = x[i] * scale * w[i];
      // n products summed in 16 lanes, then three roundings.
      EXPECT_NEAR(out[i], expected,
                  std::abs(expected) * (static_cast<double>(n) / 16 + 8) * 0x1p-24)
          << n;
    }
  }
}

TEST(Ops, SiluMultiply) {
  auto gate = noise(1003, 3, 20);
  gate[0] = 0, gate[1] = 1000, gate[2] = -1000, gate[3] = 88.5f, gate[4] = -87.5f;
  const auto up = noise(1003, 4);
  std::vector<float> out(gate.size());
  silu_multiply(gate.data(), up.data(), 1003, out.data());
  for (size_t i = 0; i < gate.size(); i++) {
    const double g = gate[i], expected = g / (1 + std::exp(-g)) * up[i];
    // exp to 2 ulp, its argument's clamp at e^-87 aside, and four roundings.
    EXPECT_NEAR(out[i], expected, std::abs(expected) * 8 * 0x1p-24 + 1e-34) << g;
  }
}

TEST(Ops, RotateKeepsLengthAndTurnsPairs) {
  auto head = noise(64, 5);
  const auto before = head;
  std::vector<float> cosines, sines;
  for (int i = 0; i < 32; i++) {
    cosines.push_back(std::cos(0.1f * static_cast<float>(i)));
    sines.push_back(std::sin(0.1f * static_cast<float>(i)));
  }
  rotate(head.data(), cosines.data(), sines.data(), 64);
  for (size_t i = 0; i < 32; i++) {
    const double a = before[i], b = before[i + 32], c = cosines[i], s = sines[i];
    EXPECT_NEAR(head[i], a * c - b * s, 1e-6);
    EXPECT_NEAR(head[i + 32], b * c + a * s, 1e-6);
  }
}

TEST(Ops, AttendIsSoftmaxOverTheCache) {
  for (const int64_t dim : {64, 80, 6}) {
    for (const int64_t length : {1, 15, 16, 17, 200}) {
      const auto d = static_cast<size_t>(dim), l = static_cast<size_t>(length + 2);
      const auto keys = noise(l * d, 6), values = noise(l * d, 7), q = noise(4 * d, 8);
      std::vector<float> packed((l + 15) / 16 * 16 * d, 0), out(4 * d, 1e9f);
      for (size_t p = 0; p < l; p++)
        store_key(keys.data() + p * d, static_cast<int64_t>(p), dim, packed.data());
      std::vector<float> cached = values,
                         scratch(static_cast<size_t>(attention_scratch(length + 2)));
      for (size_t count = 1; count <= 4; count++) {
        std::vector<Query> queries;
        for (size_t i = 0; i < count; i++)
          queries.push_back(
              {q.data() + i * d, length + static_cast<int64_t>(i % 3), out.data() + i * d});
        attend(queries, {packed.data(), cached.data()}, dim, scratch.data());
        for (size_t i = 0; i < count; i++) {
          const auto n = static_cast<size_t>(queries[i].length);
          std::vector<double> weight(n);
          double sum = 0;
          for (size_t p = 0; p < n; p++) {
            double dot = 0;
            for (size_t j = 0; j < d; j++)
              dot += static_cast<double>(q[i * d + j]) * keys[p * d + j];
            sum += weight[p] = std::exp(dot / std::sqrt(static_cast<double>(dim)));
          }
          for (size_t j = 0; j < d; j++) {
            double expected = 0;
            for (size_t p = 0; p < n; p++) expected += weight[p] / sum * values[p * d + j];
            // Scores of magnitude 10 carry dim roundings each; values are of magnitude 1.
            EXPECT_NEAR(out[i * d + j], expected, 2e-5) << dim << " " << length << " " << count;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace sqf
