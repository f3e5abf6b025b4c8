#pragma once
// GPTQ by its definition: at every step the whole inverse of what remains of the Hessian, in
// double. The reference goes along with the codes that were chosen, so each is judged by itself,
// within what f32 may have rounded on the way there.

#include <limits>

#include "format/codes.hpp"
#include "tests/converter/gptq_problem.hpp"

namespace sqf {

using Square = std::vector<std::vector<double>>;

/// Gauss and Jordan, for positive definite matrices.
inline Square inverse(Square a) {
  const size_t n = a.size();
  Square out(n, std::vector<double>(n));
  for (size_t i = 0; i < n; i++) out[i][i] = 1;
  for (size_t i = 0; i < n; i++) {
    const double pivot = a[i][i];
    for (size_t k = 0; k < n; k++) {
      a[i][k] /= pivot;
      out[i][k] /= pivot;
    }
    for (size_t row = 0; row < n; row++) {
      if (row == i) continue;
      const double factor = a[row][i];
      for (size_t k = 0; k < n; k++) {
        a[row][k] -= factor * a[i][k];
        out[row][k] -= factor * out[i][k];
      }
    }
  }
  return out;
}

struct Problem {
  EncodingRecord e;
  int64_t rows, columns;
  std::vector<double> gram;
  std::vector<float> w;
  std::vector<uint32_t> kept;
  GptqOptions gptq;
  QuantizeOptions quantize;
};

/// [i][k]: what step k's weight is lowered by where step i's was rounded down by 1.
inline Square shares_of(const Problem& p, const std::vector<uint32_t>& order) {
  const size_t size = order.size();
  const auto gram = [&](size_t i, size_t k) { return p.gram[i * size + k]; };
  double mean = 0, live = 0;
  for (size_t i = 0; i < size; i++) {
    mean += gram(i, i);
    live += gram(i, i) > 0;
  }
  mean /= live;
  Square shares(size, std::vector<double>(size));
  for (size_t first = 0; first < size; first++) {
    Square rest(size - first, std::vector<double>(size - first));
    for (size_t i = first; i < size; i++)
      for (size_t k = first; k < size; k++) {
        double value = gram(order[i], order[k]);
        if (i == k) value = value > 0 ? value + p.gptq.damping * mean : 1;
        rest[i - first][k - first] = value;
      }
    const Square inverted = inverse(rest);
    for (size_t k = first; k < size; k++)
      shares[first][k] = inverted[0][k - first] / inverted[0][0];
  }
  return shares;
}

inline std::vector<uint32_t> order_of(const Problem& p) {
  std::vector<std::pair<double, uint32_t>> keys;
  for (uint32_t k = 0; k < p.columns; k++) {
    if (std::ranges::binary_search(p.kept, k)) continue;
    const double diagonal = p.gram[k * static_cast<size_t>(p.columns + 1)];
    keys.emplace_back(p.gptq.order == GptqOrder::natural     ? 0
                      : p.gptq.order == GptqOrder::ascending ? diagonal
                                                             : -diagonal,
                      k);
  }
  std::ranges::sort(keys);
  std::vector<uint32_t> order;
  for (const auto& key : keys) order.push_back(key.second);
  order.insert(order.end(), p.kept.begin(), p.kept.end());
  return order;
}

inline double value_of(const EncodingRecord& e, const GroupParameters& g, uint32_t code) {
  const double scale = g.scale;
  if (e.grid == Grid::minifloat) return scale * static_cast<double>(minifloat_value(e, code));
  if (e.grid == Grid::levels) return scale * static_cast<double>(e.levels[code]);
  if (e.zero == ZeroKind::minimum_f16) return scale * code + static_cast<double>(g.minimum);
  return scale * (static_cast<double>(code) - g.zero);
}

inline double nearest(const EncodingRecord& e, const GroupParameters& g, double w) {
  double least = std::numeric_limits<double>::infinity();
  for (uint32_t code = 0; code < code_count(e); code++)
    if (code_has_value(e, code)) least = std::min(least, std::fabs(w - value_of(e, g, code)));
  return least;
}

/// The plain scale of a group's weights, around zero point 8 of 16 codes.
inline double symmetric_scale(const std::vector<double>& w, size_t begin, size_t count) {
  double scale = 0;
  for (size_t i = begin; i < begin + count; i++) scale = std::max({scale, -w[i] / 8, w[i] / 7});
  return scale;
}

/// What the order and the Hessian say about every row.
struct Definition {
  std::vector<uint32_t> order;
  Square shares;
  Square carried;  ///< [k][i]: how much step k's weight is off where step i's alone was off by 1
};

inline Definition definition_of(const Problem& p) {
  Definition d = {order_of(p), {}, {}};
  d.shares = shares_of(p, d.order);
  Square passed_on = d.shares;
  for (size_t i = 0; i < passed_on.size(); i++)
    for (size_t k = 0; k < i; k++) std::swap(passed_on[i][k], passed_on[k][i]);
  d.carried = inverse(passed_on);
  return d;
}

/// One row of the reference: weights by step, and what f32 may have rounded in each by itself.
struct Row {
  std::vector<double> w, rounding;

  void spread(size_t step, double decoded, const std::vector<double>& shares) {
    const double off = w[step] - decoded;
    for (size_t k = step + 1; k < w.size(); k++) {
      const double taken = off * shares[k];
      w[k] -= taken;
      // Half a unit each: two numbers of the factor, three operations; then the difference.
      rounding[k] += 5 * 0x1p-24 * std::fabs(taken) + 0x1p-24 * std::fabs(w[k]);
    }
  }
  double bound(const std::vector<double>& carried) const {
    double sum = 0;
    for (size_t i = 0; i < w.size(); i++) sum += std::fabs(carried[i]) * rounding[i];
    return sum;
  }
};

inline void expect_row(const Problem& p, const Rounded& rounded, const Definition& d, int64_t row) {
  const std::vector<uint32_t>& order = d.order;
  const size_t columns = order.size(), kept = p.kept.size();
  const Grouping groups = grouping(p.e, rounded.part.columns);
  std::vector<uint32_t> part_columns;
  for (uint32_t k = 0; k < columns; k++)
    if (!std::ranges::binary_search(p.kept, k)) part_columns.push_back(k);
  std::vector<float> decoded(part_columns.size());
  decode_row(rounded.part.view(), row, decoded.data());
  Row reference = {{}, std::vector<double>(columns)};
  for (const uint32_t k : order) reference.w.push_back(p.w[static_cast<size_t>(row) * columns + k]);
  double largest = 0;
  for (const double w : reference.w) largest = std::max(largest, std::fabs(w));
  const bool natural =
      std::ranges::is_sorted(order.begin(), order.end() - static_cast<int64_t>(kept));
  const bool plain_scale = p.quantize.range == Range::minmax && p.e.zero == ZeroKind::constant &&
                           p.e.grid == Grid::affine && p.e.scale_type == Element::f32;
  for (size_t step = 0; step + kept < columns; step++) {
    const auto column = std::ranges::lower_bound(part_columns, order[step]) - part_columns.begin();
    const GroupParameters g = group_parameters(rounded.part.view(), row, column / groups.length);
    const double w = reference.w[step], bound = reference.bound(d.carried[step]);
    if (plain_scale && natural && column % groups.length == 0) {
      const size_t count = static_cast<size_t>(groups.size(column / groups.length));
      double off = 0;
      for (size_t k = step; k < step + count; k++)
        off = std::max(off, reference.bound(d.carried[k]));
      const double scale = symmetric_scale(reference.w, step, count);
      ASSERT_NEAR(static_cast<double>(g.scale), scale, off / 7 + 0x1p-23 * scale);
    }
    const double value = decoded[static_cast<size_t>(column)];
    // A quotient decides: half a unit of it may be lost as well.
    ASSERT_LE(std::fabs(w - value),
              nearest(p.e, g, w) + 2 * bound + 0x1p-22 * (std::fabs(w) + std::fabs(value)))
        << describe(p.e) << " row " << row << " step " << step << " of " << columns;
    // Sharp enough to judge by: a step of 16 codes is 140 times as large.
    ASSERT_LT(bound, 1e-3 * largest);
    reference.spread(step, value, d.shares[step]);
  }
  for (size_t i = 0; i < kept; i++)
    ASSERT_NEAR(static_cast<double>(rounded.kept[static_cast<size_t>(row) * kept + i]),
                reference.w[columns - kept + i], reference.bound(d.carried[columns - kept + i]));
}

inline void expect_by_definition(const Problem& p) {
  const GptqInput input = input_of(p.gram, p.columns, p.kept, p.gptq);
  const Definition d = definition_of(p);
  ASSERT_EQ(input.order, d.order);
  EXPECT_EQ(input.damping, p.gptq.damping);
  const Rounded rounded = gptq(p.e, p.rows, p.w, input, p.quantize);
  for (int64_t row = 0; row < p.rows; row++) expect_row(p, rounded, d, row);
  const std::vector<float> values = joined(rounded, p.columns, p.kept);
  double error = 0, energy = 0;
  for (size_t i = 0; i < values.size(); i++) {
    const auto k = static_cast<uint32_t>(i % static_cast<size_t>(p.columns));
    if (std::ranges::binary_search(p.kept, k)) continue;
    const double w = p.w[i], off = w - static_cast<double>(values[i]);
    error += off * off;
    energy += w * w;
  }
  EXPECT_NEAR(rounded.stats.squared_error, error, 1e-5 * error);
  EXPECT_NEAR(rounded.stats.energy, energy, 1e-9 * energy);
}

}  // namespace sqf
