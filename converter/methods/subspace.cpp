#include "converter/methods/subspace.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace sqf {
namespace {

// The spectrum of rounding errors is flat, so the wanted directions come out of the others slowly.
// Of what the exact decomposition of noise up to 1024 wide captures with 8 components, 4 rounds
// with 8 extra directions find 92 to 95 %, 16 rounds 99.3 % and more, with 24 extra ones 99.85 %.
constexpr int64_t kExtra = 24;
constexpr int kRounds = 16;
// Smaller than the last bit of what f32 products can say about a matrix, squared.
constexpr double kNoEnergy = 1e-15;
constexpr double kNoLength = 1e-10;

/// Sum of 12 uniform numbers: variance 1, near enough to normal, and no logarithm whose last bit
/// depends on who wrote it. Draw `index` of the seed's sequence; the mixing is SplitMix64's.
float normal_draw(uint64_t seed, uint64_t index) {
  uint32_t sum = 0;
  for (uint64_t word = 1; word <= 3; word++) {
    uint64_t z = seed + (3 * index + word) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    for (int part = 0; part < 4; part++) sum += static_cast<uint32_t>(z >> 16 * part & 0xffffu);
  }
  return static_cast<float>(static_cast<int32_t>(sum) - 6 * 0x10000) * 0x1p-16f;
}

/// Columns of length n, each in one piece.
struct Columns {
  int64_t n, count;
  std::vector<double> data = std::vector<double>(static_cast<size_t>(n * count));

  double* at(int64_t column) { return data.data() + column * n; }
  const double* at(int64_t column) const { return data.data() + column * n; }
};

/// Eight sums side by side, in an order that no compiler may change.
double dot(const double* a, const double* b, int64_t n) {
  double sums[8] = {};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int64_t j = 0; j < 8; j++) sums[j] += a[i + j] * b[i + j];
  for (int64_t j = 0; i < n; i++, j++) sums[j] += a[i] * b[i];
  return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

void add_scaled(const double* from, double factor, int64_t n, double* to) {
  for (int64_t i = 0; i < n; i++) to[i] += factor * from[i];
}

/// Gram and Schmidt, each column twice. What depends on the columns before it becomes 0.
void orthonormalize(Columns* m) {
  for (int64_t j = 0; j < m->count; j++) {
    double* column = m->at(j);
    const double before = std::sqrt(dot(column, column, m->n));
    for (int pass = 0; pass < 2; pass++)
      for (int64_t i = 0; i < j; i++)
        add_scaled(m->at(i), -dot(m->at(i), column, m->n), m->n, column);
    const double length = std::sqrt(dot(column, column, m->n));
    const double inverse = length > kNoLength * before ? 1 / length : 0;
    for (int64_t k = 0; k < m->n; k++) column[k] *= inverse;
  }
}

/// Eigenvectors (columns of `vectors` [n][n]) and values of the symmetric m [n][n], unsorted, by
/// Jacobi's rotations. m is overwritten.
void eigenvectors(int64_t n, double* m, double* vectors, double* values) {
  std::fill_n(vectors, n * n, 0.0);
  for (int64_t i = 0; i < n; i++) vectors[i * n + i] = 1;
  // Rotations leave rounding errors of this size behind: below it there is nothing to find.
  double noise = 0;
  for (int64_t i = 0; i < n; i++) noise += 1e-16 * m[i * n + i];
  bool turned = true;
  for (int sweep = 0; sweep < 60 && turned; sweep++) {
    turned = false;
    for (int64_t p = 0; p < n; p++)
      for (int64_t q = p + 1; q < n; q++) {
        const double off = m[p * n + q], mp = m[p * n + p], mq = m[q * n + q];
        if (!(std::fabs(off) > noise)) continue;
        turned = true;
        const double ratio = (mq - mp) / (2 * off);
        const double t = (ratio < 0 ? -1 : 1) / (std::fabs(ratio) + std::sqrt(1 + ratio * ratio));
        const double c = 1 / std::sqrt(1 + t * t), s = t * c;
        for (int64_t k = 0; k < n; k++) {
          const double x = m[k * n + p], y = m[k * n + q];
          m[k * n + p] = c * x - s * y;
          m[k * n + q] = s * x + c * y;
        }
        for (int64_t k = 0; k < n; k++) {
          const double x = m[p * n + k], y = m[q * n + k];
          m[p * n + k] = c * x - s * y;
          m[q * n + k] = s * x + c * y;
        }
        for (int64_t k = 0; k < n; k++) {
          const double x = vectors[k * n + p], y = vectors[k * n + q];
          vectors[k * n + p] = c * x - s * y;
          vectors[k * n + q] = s * x + c * y;
        }
      }
  }
  for (int64_t i = 0; i < n; i++) values[i] = m[i * n + i];
}

/// The matrix times its weights, seen through products with a few directions.
class Problem {
 public:
  Problem(const Wide& error, const float* weights, int64_t width)
      : error_(error),
        width_(width),
        padded_((width + kNarrow - 1) / kNarrow * kNarrow),
        weights_(static_cast<size_t>(error.columns), 1.0),
        left_(static_cast<size_t>(error.rows * padded_)),
        right_(static_cast<size_t>(error.columns * padded_)) {
    float largest = 0;
    for (int64_t i = 0; i < error.rows * error.columns; i++)
      largest = std::max(largest, std::fabs(error.at[i]));
    // A power of two near 1 / largest, short of where directions would become subnormal.
    if (largest > 0) shrink_ = std::ldexp(1.0, std::clamp(-std::ilogb(largest), -100, 100));
    if (weights == nullptr) return;
    const double top = static_cast<double>(*std::max_element(weights, weights + error.columns));
    if (!(top > 0)) return;
    for (size_t k = 0; k < weights_.size(); k++)
      weights_[k] = static_cast<double>(weights[k]) / top;
  }

  /// [columns] directions, none normalised.
  Columns random(uint64_t seed) const {
    Columns out{error_.columns, width_};
    for (int64_t j = 0; j < width_; j++)
      for (int64_t k = 0; k < out.n; k++)
        out.at(j)[k] =
            static_cast<double>(normal_draw(seed, static_cast<uint64_t>(k * width_ + j)));
    return out;
  }

  /// E diag(d) x.
  Columns forward(const Columns& x) {
    put(x, weights_.data(), right_.data());
    kernels_.forward(error_, right_.data(), padded_, left_.data());
    return get(left_.data(), error_.rows, nullptr);
  }

  /// diag(d) E^T y, or, plain, without the weights.
  Columns backward(const Columns& y, bool plain) {
    put(y, nullptr, left_.data());
    kernels_.backward(error_, left_.data(), padded_, right_.data());
    return get(right_.data(), error_.columns, plain ? nullptr : weights_.data());
  }

  const std::vector<double>& weights() const { return weights_; }

 private:
  void put(const Columns& from, const double* factors, float* to) const {
    for (int64_t j = 0; j < width_; j++)
      for (int64_t k = 0; k < from.n; k++) {
        const double factor = factors == nullptr ? shrink_ : factors[k] * shrink_;
        to[k * padded_ + j] = static_cast<float>(from.at(j)[k] * factor);
      }
  }
  Columns get(const float* from, int64_t n, const double* factors) const {
    Columns out{n, width_};
    for (int64_t j = 0; j < width_; j++)
      for (int64_t k = 0; k < n; k++)
        out.at(j)[k] = static_cast<double>(from[k * padded_ + j]) / shrink_ *
                       (factors == nullptr ? 1 : factors[k]);
    return out;
  }

  const Wide& error_;
  int64_t width_, padded_;
  double shrink_ = 1;
  std::vector<double> weights_;
  std::vector<float> left_, right_;  ///< [rows][padded], [columns][padded]
  const NarrowKernels& kernels_ = narrow_kernels().back();
};

/// Turns an orthonormal basis of the main directions and its image E^T basis into components.
Factors components(const Columns& basis, const Columns& image, const std::vector<double>& weights,
                   int64_t rank) {
  const int64_t width = basis.count;
  Columns weighted = image;
  for (int64_t j = 0; j < width; j++)
    for (int64_t k = 0; k < image.n; k++) weighted.at(j)[k] *= weights[static_cast<size_t>(k)];
  const auto square = static_cast<size_t>(width * width);
  std::vector<double> gram(square), turn(square), energy(static_cast<size_t>(width));
  for (int64_t i = 0; i < width; i++)
    for (int64_t j = 0; j < width; j++)
      gram[static_cast<size_t>(i * width + j)] = dot(weighted.at(i), weighted.at(j), image.n);
  eigenvectors(width, gram.data(), turn.data(), energy.data());
  std::vector<int64_t> order(static_cast<size_t>(width));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t x, int64_t y) {
    return energy[static_cast<size_t>(x)] > energy[static_cast<size_t>(y)];
  });

  Columns a{basis.n, rank}, b{image.n, rank};
  Factors out{rank, {}, {}, std::vector<double>(static_cast<size_t>(rank))};
  const double least = energy[static_cast<size_t>(order[0])] * kNoEnergy;
  for (int64_t r = 0; r < rank; r++) {
    const int64_t source = order[static_cast<size_t>(r)];
    const double found = energy[static_cast<size_t>(source)];
    if (!(found > least)) continue;
    const double value = std::sqrt(found), root = std::sqrt(value);
    out.values[static_cast<size_t>(r)] = value;
    for (int64_t i = 0; i < width; i++) {
      const double part = turn[static_cast<size_t>(i * width + source)];
      add_scaled(basis.at(i), part * root, basis.n, a.at(r));
      add_scaled(image.at(i), part / root, image.n, b.at(r));
    }
  }
  out.a = std::move(a.data);
  out.b = std::move(b.data);
  return out;
}

}  // namespace

Factors low_rank_factors(const Wide& error, const float* weights, int64_t rank, uint64_t seed) {
  const int64_t width = std::min({rank + kExtra, error.rows, error.columns});
  Problem problem(error, weights, width);
  Columns left = problem.forward(problem.random(seed));
  orthonormalize(&left);
  for (int round = 0; round < kRounds; round++) {
    Columns right = problem.backward(left, false);
    orthonormalize(&right);
    left = problem.forward(right);
    orthonormalize(&left);
  }
  return components(left, problem.backward(left, true), problem.weights(), rank);
}

}  // namespace sqf
