#pragma once
// Matrices to approximate, and what the exact decomposition (Eigen's) makes of them.

#include <Eigen/Core>
#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

#include "converter/methods/low_rank.hpp"
#include "converter/methods/subspace.hpp"

namespace sqf {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

struct Shape {
  int64_t rows, columns;
};

inline std::vector<float> gaussian(Shape shape, float size, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, size);
  std::vector<float> out(static_cast<size_t>(shape.rows * shape.columns));
  for (float& v : out) v = normal(random);
  return out;
}

/// Energies of the singular values of E diag(d), largest first.
std::vector<double> exact_energies(Shape shape, const std::vector<float>& error,
                                   const float* weights = nullptr);

inline double sum_of(const std::vector<double>& v, size_t first, size_t last) {
  double sum = 0;
  for (size_t i = first; i < std::min(last, v.size()); i++) sum += v[i];
  return sum;
}

/// ||(E - a b) diag(d)||^2 of factors that nothing was rounded in.
inline double exact_rest(Shape shape, const std::vector<float>& error, const float* weights,
                         const Factors& f) {
  double sum = 0;
  for (int64_t n = 0; n < shape.rows; n++)
    for (int64_t k = 0; k < shape.columns; k++) {
      double rest = static_cast<double>(error[static_cast<size_t>(n * shape.columns + k)]);
      for (int64_t r = 0; r < f.rank; r++)
        rest -= f.a[static_cast<size_t>(r * shape.rows + n)] *
                f.b[static_cast<size_t>(r * shape.columns + k)];
      if (weights != nullptr) rest *= static_cast<double>(weights[k]);
      sum += rest * rest;
    }
  return sum;
}

inline Factors factors_of(Shape shape, const std::vector<float>& error, const float* weights,
                          int64_t rank) {
  return low_rank_factors({error.data(), shape.rows, shape.columns}, weights, rank,
                          LowRankOptions{}.seed);
}

}  // namespace sqf
