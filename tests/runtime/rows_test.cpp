// Rows of i8 with a scale each, onto what is there already: the scalar kernel against sums in f64,
// the others against the scalar one bit by bit. Other rows are tested as parts, in matmul_test.cpp.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "runtime/cpu/matmul_job.hpp"

namespace sqf {
namespace {

std::vector<Isa> isas_of_rows() {
  std::vector<Isa> isas;
  if (detected_isa() >= Isa::avx2) isas.push_back(Isa::avx2);
  if (detected_isa() >= Isa::avx512_vnni) isas.push_back(Isa::avx512_vnni);
  return isas;
}

std::vector<float> random_row_values(int64_t count, std::mt19937* random) {
  std::normal_distribution<float> normal(0, 1);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& v : values) v = normal(*random);
  return values;
}

/// The padding of a row is not zero on purpose.
TEST(Rows, ScaledIntegersAreAdded) {
  std::mt19937 random(2);
  for (const int64_t columns : {1, 5, 16, 17, 32, 36, 63, 64, 65, 96, 100, 576})
    for (const int64_t tokens : {1, 2, 5})
      for (const int64_t rows : {1, 3, 4, 21}) {
        const std::vector<float> scales = random_row_values(rows, &random);
        const std::vector<float> x = random_row_values(tokens * columns, &random);
        const std::vector<float> before = random_row_values(tokens * rows, &random);
        RowsJob job;
        job.type = Element::i8;
        job.row_bytes = (columns + 63) / 64 * 64;
        job.rows = rows;
        job.columns = columns;
        std::vector<uint8_t> values(static_cast<size_t>(rows * job.row_bytes));
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
          multiply_rows(isa, job);
          return y;
        };
        const std::vector<float> y = run(Isa::scalar);
        for (int64_t t = 0; t < tokens; t++)
          for (int64_t r = 0; r < rows; r++) {
            double sum = 0, magnitude = 0;
            for (int64_t k = 0; k < columns; k++) {
              const auto w =
                  static_cast<int8_t>(values[static_cast<size_t>(r * job.row_bytes + k)]);
              const double term = static_cast<double>(w) * x[static_cast<size_t>(t * columns + k)];
              sum += term;
              magnitude += std::abs(term);
            }
            const auto at = static_cast<size_t>(t * rows + r);
            const double scale = scales[static_cast<size_t>(r)];
            magnitude = magnitude * std::abs(scale) + std::abs(before[at]);
            // Each of 64 sums rounds once per block of 64 columns, then 6 steps of the tree, the
            // scale and the addition.
            const double bound = static_cast<double>(columns / 64 + 10) * 0x1p-24 * magnitude;
            ASSERT_NEAR(y[at], before[at] + sum * scale, bound + 1e-30) << columns;
          }
        for (Isa isa : isas_of_rows()) {
          const std::vector<float> got = run(isa);
          ASSERT_EQ(std::memcmp(got.data(), y.data(), y.size() * 4), 0)
              << isa_name(isa) << " " << rows << "x" << columns << ", tokens " << tokens;
        }
      }
}

}  // namespace
}  // namespace sqf
