#include "converter/methods/low_rank.hpp"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstring>
#include <string>

#include "converter/methods/subspace.hpp"
#include "format/encoding.hpp"
#include "format/scalar.hpp"

namespace sqf {
namespace {

constexpr float kLargestF16 = 65504.0f;
constexpr double kLargestI8 = 127;

Element element_of(FactorType type) {
  return type == FactorType::f16 ? Element::f16 : Element::i8;
}

size_t factor_bytes(int64_t rows, int64_t columns, FactorType type) {
  return component_bytes(value_shape(element_of(type), 1, static_cast<uint64_t>(rows),
                                     static_cast<uint64_t>(columns)));
}

double largest(const double* v, int64_t n) {
  double out = 0;
  for (int64_t i = 0; i < n; i++) out = std::max(out, std::fabs(v[i]));
  return out;
}

void scale_by(double factor, double* v, int64_t n) {
  for (int64_t i = 0; i < n; i++) v[i] *= factor;
}

/// Moves powers of two between a and b until their largest elements are within a factor of 4: of
/// each component for f16, whose exponents are few; of all together for i8, where the shares of
/// the components in a row of A are what its one scale is best for.
void balance(FactorType type, int64_t rows, int64_t columns, Factors* f) {
  const int64_t each = type == FactorType::f16 ? 1 : f->rank;
  for (int64_t r = 0; r < f->rank; r += each) {
    double* a = f->a.data() + r * rows;
    double* b = f->b.data() + r * columns;
    const double in_a = largest(a, each * rows), in_b = largest(b, each * columns);
    if (in_a == 0 || in_b == 0) continue;
    const int shift = (std::ilogb(in_b) - std::ilogb(in_a)) / 2;
    scale_by(std::ldexp(1.0, shift), a, each * rows);
    scale_by(std::ldexp(1.0, -shift), b, each * columns);
  }
}

/// One row of a factor; element i is v[i * stride], place(i) where it is stored.
template <typename Place>
void store_row(const double* v, int64_t stride, int64_t n, Place place, float* scale,
               LowRankPair* pair) {
  if (scale == nullptr) {
    for (int64_t i = 0; i < n; i++) {
      const auto exact = static_cast<float>(v[i * stride]);
      const float kept = std::clamp(exact, -kLargestF16, kLargestF16);
      const uint16_t half = f32_to_f16(kept);
      pair->saturated += kept != exact;
      pair->underflowed += (half & 0x7fffu) == 0 && v[i * stride] != 0;
      std::memcpy(place(i), &half, sizeof half);
    }
    return;
  }
  double top = 0;
  for (int64_t i = 0; i < n; i++) top = std::max(top, std::fabs(v[i * stride]));
  const auto step = static_cast<float>(top / kLargestI8);
  *scale = step >= FLT_MIN ? step : 1;  // readers may treat subnormals as 0
  for (int64_t i = 0; i < n; i++) {
    const double x = v[i * stride];
    if (step < FLT_MIN) pair->underflowed += x != 0;
    const double code = std::nearbyint(x / static_cast<double>(*scale));
    const auto stored = static_cast<int8_t>(std::clamp(code, -kLargestI8, kLargestI8));
    std::memcpy(place(i), &stored, sizeof stored);
  }
}

/// A factor [rows][columns] whose element (n, k) is v[n * down + k * across].
void store_factor(const double* v, int64_t down, int64_t across, int64_t rows, int64_t columns,
                  std::vector<std::byte>* bytes, std::vector<float>* scales, LowRankPair* pair) {
  const ValueLayout layout(element_of(pair->type), rows, columns);
  for (int64_t n = 0; n < rows; n++)
    store_row(
        v + n * down, across, columns,
        [&](int64_t k) { return bytes->data() + layout.offset(n, k); },
        pair->type == FactorType::i8 ? scales->data() + n : nullptr, pair);
}

void store_factors(const Factors& f, int64_t rows, int64_t columns, LowRankPair* pair) {
  LowRankPair room = low_rank_room(rows, columns, f.rank, pair->type);
  pair->a = std::move(room.a);
  pair->b = std::move(room.b);
  pair->a_scales = std::move(room.a_scales);
  pair->b_scales = std::move(room.b_scales);
  store_factor(f.a.data(), 1, rows, rows, f.rank, &pair->a, &pair->a_scales, pair);
  store_factor(f.b.data(), columns, 1, f.rank, columns, &pair->b, &pair->b_scales, pair);
}

/// The product of a stored pair, row by row.
class StoredProduct {
 public:
  StoredProduct(const LowRankPair& pair, int64_t rows, int64_t columns)
      : pair_(pair),
        columns_(columns),
        layout_(element_of(pair.type), rows, pair.rank),
        narrow_(static_cast<size_t>(pair.rank)),
        wide_(static_cast<size_t>(pair.rank * columns)),
        sum_(static_cast<size_t>(columns)) {
    const ValueLayout b(element_of(pair.type), pair.rank, columns);
    for (int64_t r = 0; r < pair.rank; r++)
      decode(pair.b, b, pair.b_scales, r, columns, wide_.data() + r * columns);
  }

  /// [columns], until the next call.
  const float* row(int64_t n) {
    decode(pair_.a, layout_, pair_.a_scales, n, pair_.rank, narrow_.data());
    std::fill(sum_.begin(), sum_.end(), 0.0f);
    for (int64_t r = 0; r < pair_.rank; r++) {
      const float factor = narrow_[static_cast<size_t>(r)];
      const float* from = wide_.data() + r * columns_;
      float* to = sum_.data();
      for (int64_t k = 0; k < columns_; k++) to[k] = to[k] + factor * from[k];
    }
    return sum_.data();
  }

 private:
  void decode(const std::vector<std::byte>& bytes, const ValueLayout& layout,
              const std::vector<float>& scales, int64_t row, int64_t n, float* out) const {
    const bool scaled = pair_.type == FactorType::i8;
    const float scale = scaled ? scales[static_cast<size_t>(row)] : 1;
    for (int64_t i = 0; i < n; i++) {
      const std::byte* from = bytes.data() + layout.offset(row, i);
      out[i] = scaled ? static_cast<float>(load<int8_t>(from)) * scale
                      : f16_to_f32(load<uint16_t>(from));
    }
  }

  const LowRankPair& pair_;
  int64_t columns_;
  ValueLayout layout_;  ///< of A
  std::vector<float> narrow_, wide_, sum_;
};

/// Sums of four columns each side by side, in an order that no compiler may change.
void measure(const Wide& error, const float* weights, LowRankPair* pair) {
  StoredProduct product(*pair, error.rows, error.columns);
  std::vector<double> weight(static_cast<size_t>((error.columns + 3) / 4 * 4), 0.0);
  for (int64_t k = 0; k < error.columns; k++)
    weight[static_cast<size_t>(k)] = weights == nullptr ? 1 : static_cast<double>(weights[k]);
  double before[4] = {}, after[4] = {};
  for (int64_t n = 0; n < error.rows; n++) {
    const float* e = error.at + n * error.columns;
    const float* p = product.row(n);
    const auto add = [&](int64_t k, int64_t lane) {
      const double w = weight[static_cast<size_t>(k)], x = static_cast<double>(e[k]);
      const double whole = x * w, rest = (x - static_cast<double>(p[k])) * w;
      before[lane] += whole * whole;
      after[lane] += rest * rest;
    };
    int64_t k = 0;
    for (; k + 4 <= error.columns; k += 4)
      for (int64_t lane = 0; lane < 4; lane++) add(k + lane, lane);
    for (int64_t lane = 0; k < error.columns; k++, lane++) add(k, lane);
  }
  pair->error_before = (before[0] + before[2]) + (before[1] + before[3]);
  pair->error_after = (after[0] + after[2]) + (after[1] + after[3]);
}

Result<void> check(std::span<const float> error, int64_t rows, int64_t columns,
                   const float* weights, int64_t rank) {
  if (rows < 1 || columns < 1 || static_cast<int64_t>(error.size()) / columns != rows ||
      static_cast<int64_t>(error.size()) % columns != 0)
    return usage_error("low-rank pair: " + std::to_string(error.size()) + " errors are no [" +
                       std::to_string(rows) + ", " + std::to_string(columns) + "]");
  if (rank < 1) return usage_error("low-rank pair: a rank of " + std::to_string(rank));
  if (weights != nullptr)
    for (int64_t k = 0; k < columns; k++)
      if (!std::isfinite(weights[k]) || weights[k] < 0)
        return usage_error("low-rank pair: the weight of column " + std::to_string(k) +
                           " is negative or not finite");
  for (size_t i = 0; i < error.size(); i++)
    if (!std::isfinite(error[i]))
      return malformed("low-rank pair: the error of row " +
                       std::to_string(static_cast<int64_t>(i) / columns) + ", column " +
                       std::to_string(static_cast<int64_t>(i) % columns) + " is not finite");
  return {};
}

}  // namespace

LowRankPair low_rank_room(int64_t rows, int64_t columns, int64_t rank, FactorType type) {
  LowRankPair pair;
  pair.rank = rank;
  pair.type = type;
  pair.a.resize(factor_bytes(rows, rank, type));
  pair.b.resize(factor_bytes(rank, columns, type));
  if (type == FactorType::f16) return pair;
  pair.a_scales.assign(static_cast<size_t>(rows), 1);
  pair.b_scales.assign(static_cast<size_t>(rank), 1);
  return pair;
}

Result<LowRankPair> low_rank_pair(std::span<const float> error, int64_t rows, int64_t columns,
                                  const float* weights, const LowRankOptions& options) {
  if (auto ok = check(error, rows, columns, weights, options.rank); !ok) return ok.error();
  LowRankPair pair;
  pair.rank = std::min({options.rank, rows, columns});
  pair.type = options.type;
  const Wide wide{error.data(), rows, columns};
  Factors factors = low_rank_factors(wide, weights, pair.rank, options.seed);
  balance(pair.type, rows, columns, &factors);
  store_factors(factors, rows, columns, &pair);
  measure(wide, weights, &pair);
  if (!(pair.error_after <= pair.error_before)) {
    std::fill(pair.a.begin(), pair.a.end(), std::byte{0});
    std::fill(pair.b.begin(), pair.b.end(), std::byte{0});
    std::fill(pair.a_scales.begin(), pair.a_scales.end(), 1.0f);
    std::fill(pair.b_scales.begin(), pair.b_scales.end(), 1.0f);
    pair.error_after = pair.error_before;
  }
  return pair;
}

void add_low_rank(const LowRankPair& pair, int64_t rows, int64_t columns, float* w) {
  StoredProduct product(pair, rows, columns);
  for (int64_t n = 0; n < rows; n++, w += columns) {
    const float* row = product.row(n);
    for (int64_t k = 0; k < columns; k++) w[k] = w[k] + row[k];
  }
}

}  // namespace sqf
