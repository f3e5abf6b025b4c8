// Values of i8 with a scale per row, onto what is there already: the scalar kernel against sums in
// f64, the others against the scalar one bit by bit. Other values are tested as parts, in
// matmul_test.cpp.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "format/encoding.hpp"
#include "runtime/cpu/matmul_job.hpp"

namespace sqf {
namespace {

std::vector<Isa> isas_of_values() {
  std::vector<Isa> isas;
  if (detected_isa() >= Isa::avx2) isas.push_back(Isa::avx2);
  if (detected_isa() >= Isa::avx512_vnni) isas.push_back(Isa::avx512_vnni);
  return isas;
}

std::vector<float> random_floats(int64_t count, std::mt19937* random) {
  std::normal_distribution<float> normal(0, 1);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& v : values) v = normal(*random);
  return values;
}

/// The padding is not zero on purpose.
TEST(Values, ScaledIntegersAreAdded) {
  std::mt19937 random(2);
  for (const int64_t columns : {1, 2, 3, 4, 5, 16, 31, 32, 36, 65, 100, 1536})
    for (const int64_t tokens : {1, 2, 5, 13})
      for (const int64_t rows : {1, 8, 9, 16, 21}) {
        const std::vector<float> scales = random_floats(rows, &random);
        const std::vector<float> x = random_floats(tokens * columns, &random);
        const std::vector<float> before = random_floats(tokens * rows, &random);
        ValuesJob job;
        job.type = Element::i8;
        job.rows = rows;
        job.columns = columns;
        const ValueLayout layout(job.type, kTileRows, columns);
        std::vector<uint8_t> values(
            static_cast<size_t>(layout.offset(tiles_of(rows) * kTileRows, 0)));
        for (uint8_t& v : values) v = static_cast<uint8_t>(random());
        job.values = values.data();
        job.x = x.data();
        job.x_stride = columns;
        job.tokens = tokens;
        job.row_scales = scales.data();
        job.add = true;
        job.y_stride = rows;
        const auto run = [&](Isa isa) {
          std::vector<float> y = before;
          job.y = y.data();
          multiply_values(isa, job);
          return y;
        };
        const std::vector<float> y = run(Isa::scalar);
        for (int64_t t = 0; t < tokens; t++)
          for (int64_t r = 0; r < rows; r++) {
            double sum = 0, magnitude = 0;
            for (int64_t k = 0; k < columns; k++) {
              const auto w = static_cast<int8_t>(values[static_cast<size_t>(layout.offset(r, k))]);
              const double term = static_cast<double>(w) * x[static_cast<size_t>(t * columns + k)];
              sum += term;
              magnitude += std::abs(term);
            }
            const auto at = static_cast<size_t>(t * rows + r);
            const double scale = scales[static_cast<size_t>(r)];
            magnitude = magnitude * std::abs(scale) + std::abs(before[at]);
            // Each of four chains rounds once per column of its own, then two sums of them, the
            // scale and the addition.
            const double bound = static_cast<double>(columns / 4 + 6) * 0x1p-24 * magnitude;
            ASSERT_NEAR(y[at], before[at] + sum * scale, bound + 1e-30) << columns;
          }
        for (Isa isa : isas_of_values()) {
          const std::vector<float> got = run(isa);
          ASSERT_EQ(std::memcmp(got.data(), y.data(), y.size() * 4), 0)
              << isa_name(isa) << " " << rows << "x" << columns << ", tokens " << tokens;
        }
      }
}

}  // namespace
}  // namespace sqf
