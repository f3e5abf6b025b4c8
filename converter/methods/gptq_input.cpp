// The factor of the inverse Hessian. With J the reversal of the order, J H J = L L^T gives
// H = (J L J)(J L J)^T with an upper triangle in place of L, so U = J L^-1 J: one factorisation and
// one triangular inverse instead of two factorisations and a whole inverse.
#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <utility>

#include "converter/methods/gptq.hpp"

#ifndef EIGEN_NO_CPUID
#error "Eigen would cut its sums by the caches of the CPU it finds, and so round by them"
#endif

namespace sqf {
namespace {

using Matrix = Eigen::Map<Eigen::MatrixXd>;

constexpr int kAttempts = 5;
constexpr double kMore = 10;            // times the damping, each time it was not enough
constexpr double kLeastDamping = 1e-4;  // after none at all
constexpr int64_t kBlock = 128;         // columns of the inverse at a time

std::vector<uint32_t> steps_of(const std::vector<double>& diagonal, std::span<const uint32_t> kept,
                               GptqOrder order) {
  std::vector<bool> last(diagonal.size());
  for (const uint32_t column : kept) last[column] = true;
  std::vector<uint32_t> steps;
  for (uint32_t column = 0; column < diagonal.size(); column++)
    if (!last[column]) steps.push_back(column);
  if (order == GptqOrder::ascending)
    std::ranges::stable_sort(steps, {}, [&](uint32_t column) { return diagonal[column]; });
  if (order == GptqOrder::descending)
    std::ranges::stable_sort(steps, {}, [&](uint32_t column) { return -diagonal[column]; });
  steps.insert(steps.end(), kept.begin(), kept.end());
  return steps;
}

/// Rows and columns of a symmetric matrix in the order `from`, within its own memory.
void permute(const std::vector<uint32_t>& from, double* matrix) {
  const size_t size = from.size();
  std::vector<double> row(size);
  for (size_t i = 0; i < size; i++) {
    double* const at = matrix + i * size;
    for (size_t k = 0; k < size; k++) row[k] = at[from[k]];
    std::copy_n(row.data(), size, at);
  }
  std::vector<bool> done(size);
  for (size_t start = 0; start < size; start++) {
    if (done[start]) continue;
    std::copy_n(matrix + start * size, size, row.data());
    for (size_t i = start; !done[i]; i = from[i]) {
      done[i] = true;
      const double* const source = from[i] == start ? row.data() : matrix + from[i] * size;
      std::copy_n(source, size, matrix + i * size);
    }
  }
}

/// L L^T in the lower triangle. False where a pivot is no more than what rounding makes of 0.
bool factorise(const Eigen::VectorXd& diagonal, Matrix* matrix) {
  matrix->diagonal() = diagonal;
  const Eigen::LLT<Eigen::Ref<Eigen::MatrixXd>> factor(*matrix);
  if (factor.info() != Eigen::Success) return false;
  const double rounding = static_cast<double>(matrix->rows()) * 0x1p-52;
  for (int64_t i = 0; i < matrix->rows(); i++) {
    const double pivot = (*matrix)(i, i);
    if (!(pivot * pivot > rounding * diagonal[i])) return false;
  }
  return true;
}

/// U [K][K] from L, a few columns of its inverse at a time.
void invert(const Matrix& lower, std::vector<float>* upper) {
  const int64_t size = lower.rows();
  upper->assign(static_cast<size_t>(size * size), 0.0f);
  for (int64_t first = 0; first < size; first += kBlock) {
    const int64_t rest = size - first, count = std::min(kBlock, rest);
    Eigen::MatrixXd columns = Eigen::MatrixXd::Identity(rest, count);
    lower.bottomRightCorner(rest, rest).triangularView<Eigen::Lower>().solveInPlace(columns);
    for (int64_t i = 0; i < rest; i++)
      for (int64_t k = 0; k < std::min(count, i + 1); k++)
        (*upper)[static_cast<size_t>((rest - 1 - i) * size + size - 1 - first - k)] =
            static_cast<float>(columns(i, k));
  }
}

std::string wrong_arguments(const std::vector<double>& gram, int64_t columns,
                            std::span<const uint32_t> kept, const GptqOptions& options) {
  const size_t size = static_cast<size_t>(std::max<int64_t>(columns, 0));
  if (size == 0 || size > UINT32_MAX || gram.size() / size != size || gram.size() % size != 0)
    return "a Gram matrix of " + std::to_string(gram.size()) + " numbers for " +
           std::to_string(columns) + " columns";
  if (kept.size() >= size) return "every column kept, none left to round";
  for (size_t i = 0; i < kept.size(); i++)
    if (kept[i] >= size || (i > 0 && kept[i] <= kept[i - 1]))
      return "kept columns must ascend and lie below " + std::to_string(size);
  if (!(options.damping >= 0 && options.damping <= 1)) return "damping must lie in [0, 1]";
  return {};
}

}  // namespace

Result<GptqInput> gptq_input(std::vector<double> gram, int64_t columns,
                             std::span<const uint32_t> kept, const GptqOptions& options) {
  const std::string wrong = wrong_arguments(gram, columns, kept, options);
  if (!wrong.empty()) return usage_error("GPTQ: " + wrong);
  const size_t size = static_cast<size_t>(columns);
  if (!std::ranges::all_of(gram, [](double x) { return std::isfinite(x); }))
    return malformed("GPTQ: a Gram matrix with values that are not finite");

  std::vector<double> diagonal(size);
  for (size_t i = 0; i < size; i++) diagonal[i] = gram[i * size + i];
  if (std::ranges::any_of(diagonal, [](double x) { return x < 0; }))
    return malformed("GPTQ: a Gram matrix with a diagonal below 0");
  GptqInput input = {
      columns, static_cast<int64_t>(kept.size()), steps_of(diagonal, kept, options.order),
      {},      std::ranges::count(diagonal, 0.0), 0};
  const std::vector<uint32_t> reversed(input.order.rbegin(), input.order.rend());
  permute(reversed, gram.data());

  // The mean becomes 1, so that the factor fits f32 whatever the number of tokens.
  const double live = static_cast<double>(columns - input.dead);
  double mean = 0;
  for (const double x : diagonal) mean += x / std::max(live, 1.0);
  Matrix matrix(gram.data(), columns, columns);
  if (mean > 0) matrix /= mean;
  for (size_t i = 0; i < size; i++) {
    if (diagonal[reversed[i]] != 0) continue;
    matrix.row(static_cast<int64_t>(i)).setZero();
    matrix.col(static_cast<int64_t>(i)).setZero();
    matrix(static_cast<int64_t>(i), static_cast<int64_t>(i)) = 1;
  }
  const Eigen::VectorXd plain = matrix.diagonal();
  if (!plain.allFinite()) return malformed("GPTQ: a Gram matrix beyond what can be scaled");

  input.damping = options.damping;
  for (int attempt = 0; attempt < kAttempts; attempt++) {
    if (factorise(plain.array() + input.damping, &matrix)) {
      invert(matrix, &input.upper);
      return input;
    }
    input.damping = std::max(input.damping * kMore, kLeastDamping);
    // A factorisation that fails has overwritten the lower triangle, and that alone.
    matrix.triangularView<Eigen::StrictlyLower>() = matrix.transpose();
  }
  return malformed("GPTQ: a Gram matrix that is not positive definite, damped by " +
                   std::to_string(input.damping / kMore) + " of its mean diagonal or less");
}

}  // namespace sqf
