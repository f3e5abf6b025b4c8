// Components against the exact decomposition, plain and weighted, on noise (the hardest: its
// spectrum is flat) and on a steep spectrum. Products are compared, never factors, whose signs mean
// nothing.
#include "converter/methods/subspace.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "tests/converter/low_rank_cases.hpp"

namespace sqf {
namespace {

class ExactSvd : public testing::TestWithParam<Shape> {};

TEST_P(ExactSvd, NoiseGivesUpNearlyAllThatItHas) {
  const Shape shape = GetParam();
  const auto error = gaussian(shape, 1e-3f, 7);
  const auto energies = exact_energies(shape, error);
  const double whole = sum_of(energies, 0, energies.size());
  for (const int64_t rank : {1, 8, 32}) {
    const double best = sum_of(energies, 0, static_cast<size_t>(rank));
    const Factors f =
        factors_of(shape, error, nullptr, std::min({rank, shape.rows, shape.columns}));
    const double captured = whole - exact_rest(shape, error, nullptr, f);
    RecordProperty("captured_" + std::to_string(rank), std::to_string(captured / best));
    EXPECT_GE(captured, 0.995 * best) << rank;
    EXPECT_LE(captured, best * (1 + 1e-6)) << rank;
    EXPECT_NEAR(sum_of(f.values, 0, 1) * f.values[0], energies[0], 0.005 * energies[0]);
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, ExactSvd,
                         testing::Values(Shape{512, 512}, Shape{576, 1536}, Shape{1024, 1024},
                                         Shape{1000, 37}, Shape{5, 900}, Shape{1, 3}, Shape{1, 1}),
                         [](const auto& test) {
                           return std::to_string(test.param.rows) + "x" +
                                  std::to_string(test.param.columns);
                         });

TEST(Subspace, WeightedSearchIsTheBestInItsNorm) {
  const Shape shape = {300, 410};
  const auto error = gaussian(shape, 1e-3f, 8);
  std::vector<float> weights(410);
  for (size_t k = 0; k < weights.size(); k++)
    weights[k] = k % 50 == 0 ? 0.0f : std::exp(2.0f * std::sin(static_cast<float>(k)));
  const auto energies = exact_energies(shape, error, weights.data());
  const double whole = sum_of(energies, 0, energies.size());
  for (const int64_t rank : {4, 16}) {
    const Factors f = factors_of(shape, error, weights.data(), rank);
    const double captured = whole - exact_rest(shape, error, weights.data(), f);
    EXPECT_GE(captured, 0.995 * sum_of(energies, 0, static_cast<size_t>(rank)));
    EXPECT_LE(captured, (1 + 1e-6) * sum_of(energies, 0, static_cast<size_t>(rank)));
  }
}

/// Singular values that fall off quickly, down to where f32 products see nothing any more.
TEST(Subspace, SteepSpectrum) {
  const Shape shape = {200, 150};
  Matrix m = Matrix::Zero(200, 150);
  for (int r = 0; r < 10; r++) {
    const auto u = gaussian({200, 1}, 1, 100 + static_cast<uint32_t>(r));
    const auto v = gaussian({150, 1}, 1, 200 + static_cast<uint32_t>(r));
    m += std::pow(10.0, -r) * Eigen::Map<const Eigen::VectorXf>(u.data(), 200).cast<double>() *
         Eigen::Map<const Eigen::VectorXf>(v.data(), 150).cast<double>().transpose();
  }
  std::vector<float> error(m.data(), m.data() + m.size());
  const auto energies = exact_energies(shape, error);
  for (const int64_t rank : {1, 2, 3, 4, 5}) {
    const double rest = exact_rest(shape, error, nullptr, factors_of(shape, error, nullptr, rank));
    const double best = sum_of(energies, static_cast<size_t>(rank), energies.size());
    EXPECT_LE(rest, best * 1.005 + 1e-12 * energies[0]) << rank;
  }
}

TEST(Narrow, WidthOfRegistersDoesNotShow) {
  const Shape shape = {37, 61};
  const auto error = gaussian(shape, 1, 13);
  for (const int64_t width : {16, 48}) {
    const auto right = gaussian({61, width}, 1, 14), left = gaussian({37, width}, 1, 15);
    for (const NarrowKernels& kernels : narrow_kernels()) {
      std::vector<float> y(static_cast<size_t>(37 * width), NAN),
          x(static_cast<size_t>(61 * width), NAN);
      const Wide wide{error.data(), 37, 61};
      kernels.forward(wide, right.data(), width, y.data());
      kernels.backward(wide, left.data(), width, x.data());
      for (int64_t j = 0; j < width; j++) {
        const auto at = [&](int64_t i) { return static_cast<size_t>(i * width + j); };
        for (int64_t n = 0; n < 37; n++) {
          float sum = 0;
          for (int64_t k = 0; k < 61; k++) {
            const float product = error[static_cast<size_t>(n * 61 + k)] * right[at(k)];
            sum = sum + product;
          }
          ASSERT_EQ(y[at(n)], sum) << kernels.name;
        }
        for (int64_t k = 0; k < 61; k++) {
          float sum = 0;
          for (int64_t n = 0; n < 37; n++) {
            const float product = error[static_cast<size_t>(n * 61 + k)] * left[at(n)];
            sum = sum + product;
          }
          ASSERT_EQ(x[at(k)], sum) << kernels.name;
        }
      }
    }
  }
}

}  // namespace
}  // namespace sqf
