// Every set of kernels that this CPU runs gives the same bits, so a file does not depend on the
// machine that wrote it.
#include "converter/methods/lanes.hpp"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <random>
#include <vector>

#include "format/encoding.hpp"

namespace sqf {
namespace {

std::vector<uint32_t> bits_of(const Lanes& lanes) {
  std::vector<uint32_t> bits;
  for (const float x : lanes.at) bits.push_back(std::bit_cast<uint32_t>(x));
  return bits;
}

struct Outcome {
  std::vector<std::vector<uint32_t>> lanes;
  std::vector<uint8_t> codes;

  bool operator==(const Outcome&) const = default;
};

Outcome run(const LaneKernels& kernels, const std::vector<float>& x,
            const std::vector<float>& weight, const LaneGrid& grid) {
  const int64_t size = static_cast<int64_t>(weight.size());
  Outcome outcome;
  const auto keep = [&](std::initializer_list<const Lanes*> all) {
    for (const Lanes* lanes : all) outcome.lanes.push_back(bits_of(*lanes));
  };
  Lanes a, b;
  LaneSums sums;
  LaneLoss loss;
  kernels.bounds(x.data(), size, &a, &b);
  keep({&a, &b});
  kernels.error(x.data(), weight.data(), size, grid, &a);
  keep({&a});
  const std::array<float, 5> factors = {1.06f, 1.0f, 0.9f, -0.9f, 0.5f};
  kernels.scan(x.data(), weight.data(), size, grid, factors, &a, &b);
  keep({&a, &b});
  kernels.sums(x.data(), weight.data(), size, grid, &sums);
  keep({&sums.error, &sums.t, &sums.p, &sums.tp, &sums.pp});
  outcome.codes.resize(x.size());
  kernels.encode(x.data(), size, grid, outcome.codes.data(), &loss);
  keep({&loss.error, &loss.energy});
  return outcome;
}

TEST(Lanes, EveryInstructionSetGivesTheSameBits) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::uniform_real_distribution<float> real(0, 1);
  ASSERT_GE(lane_kernels().size(), 1u);
  for (const int64_t size : {1, 7, 16, 32, 64, 65, 200, 1000})
    for (const float top : {1.0f, 3.0f, 15.0f, 31.0f, 255.0f}) {
      std::vector<float> x(static_cast<size_t>(size * kTileRows)),
          weight(static_cast<size_t>(size));
      for (float& v : x) v = normal(random);
      for (float& v : weight) v = std::exp(normal(random));
      LaneGrid grid;
      grid.top = top;
      for (size_t lane = 0; lane < kTileRows; lane++) {
        grid.scale[lane] = lane == 3 ? 0 : 5 / top * real(random);
        grid.zero[lane] = std::floor(real(random) * top);
        grid.minimum[lane] = lane % 2 ? normal(random) : 0;
      }
      const Outcome first = run(lane_kernels().front(), x, weight, grid);
      for (const LaneKernels& kernels : lane_kernels())
        EXPECT_TRUE(first == run(kernels, x, weight, grid)) << kernels.name << ", " << size;
      // Scalar, from the definition.
      for (size_t lane = 0; lane < kTileRows; lane++)
        for (size_t k = 0; k < static_cast<size_t>(size); k++) {
          const float w = x[k * kTileRows + lane];
          float t = grid.scale[lane] == 0 ? 0 : (w - grid.minimum[lane]) / grid.scale[lane];
          t = std::nearbyint(std::clamp(t, -grid.zero[lane], top - grid.zero[lane]));
          ASSERT_EQ(first.codes[k * kTileRows + lane], static_cast<uint8_t>(t + grid.zero[lane]));
        }
    }
}

TEST(Lanes, EveryInstructionSetRoundsToLevelsAlike) {
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  const std::vector<float> table = {-1, -0.3f, 0, 0.1f, 0.4f, 1.5f};
  std::vector<EncodingRecord> encodings = {levels_encoding(table, 0, Element::f32, false)};
  for (int bits = 3; bits <= 8; bits++)
    for (int exponent = 1; exponent < bits; exponent++)
      encodings.push_back(minifloat_encoding(exponent, bits - 1 - exponent,
                                             MinifloatKind::saturating, 0, Element::f32, false));
  for (const EncodingRecord& e : encodings) {
    const LevelGrid levels = *level_grid(e);
    for (const int64_t size : {1, 7, 64, 65, 1000}) {
      std::vector<float> x(static_cast<size_t>(size * kTileRows)),
          weight(static_cast<size_t>(size));
      for (float& v : x) v = normal(random);
      for (float& v : weight) v = std::exp(normal(random));
      LaneGrid grid;
      grid.levels = &levels;
      for (size_t lane = 0; lane < kTileRows; lane++)
        grid.scale[lane] =
            lane == 3 ? 0 : (lane % 2 ? -3.0f : 3.0f) / levels.reach / static_cast<float>(lane + 1);
      const Outcome first = run(lane_kernels(levels).front(), x, weight, grid);
      for (const LaneKernels& kernels : lane_kernels(levels))
        EXPECT_TRUE(first == run(kernels, x, weight, grid)) << kernels.name << ", " << size;
    }
  }
}

TEST(Lanes, HalvesRoundToEven) {
  std::vector<float> x;
  for (int k = 0; k < 6; k++)
    for (int lane = 0; lane < kTileRows; lane++) x.push_back(static_cast<float>(k) - 2.5f);
  LaneGrid grid;
  grid.top = 15;
  for (size_t lane = 0; lane < kTileRows; lane++) grid.scale[lane] = 1, grid.zero[lane] = 7;
  for (const LaneKernels& kernels : lane_kernels()) {
    std::vector<uint8_t> codes(x.size());
    LaneLoss loss;
    kernels.encode(x.data(), 6, grid, codes.data(), &loss);
    // -2.5 -1.5 -0.5 0.5 1.5 2.5
    const int expected[] = {5, 5, 7, 7, 9, 9};
    for (size_t k = 0; k < 6; k++) EXPECT_EQ(codes[k * kTileRows], expected[k]) << kernels.name;
  }
}

}  // namespace
}  // namespace sqf
