#pragma once
// A layer's product as the equation in the specification says it (sqf.md, 3.4), term by term in f64
// from what the file decodes to. Knows nothing of the runtime but its own 8-bit form.

#include <cmath>

#include "format/codes.hpp"
#include "format/scalar.hpp"
#include "loader/dequantize.hpp"
#include "runtime/cpu/matmul.hpp"

namespace sqf {

/// y [tokens][rows], and the sum of the magnitudes of all that is added up to it.
struct ReferenceProduct {
  std::vector<double> y, magnitude;
};

/// What an activation stands for, and the larger of that and its summands.
struct Rounded {
  double value = 0, magnitude = 0;
};

namespace reference {

inline std::vector<double> minifloat_values(const ColumnSetRecord& set) {
  if (set.quantizer != QuantizerKind::minifloat) return {};
  EncodingRecord e = {};
  e.grid = Grid::minifloat;
  e.exponent_bits = set.exponent_bits;
  e.mantissa_bits = set.mantissa_bits;
  e.exponent_bias = (1 << (set.exponent_bits - 1)) - 1;
  std::vector<double> values;
  for (uint32_t code = 0; code < 1u << (set.exponent_bits + set.mantissa_bits); code++)
    values.push_back(static_cast<double>(minifloat_value(e, code)));
  return values;
}

/// The columns of a set over some tokens, rounded; x [tokens][count].
inline std::vector<Rounded> quantized(const ColumnSetRecord& set, const std::vector<float>& x,
                                      size_t count) {
  std::vector<Rounded> out(x.size());
  const auto span = set.per_tensor ? x.size() : count;
  for (size_t begin = 0; begin < x.size(); begin += span) {
    float low = x[begin], high = x[begin], largest = 0;
    for (size_t i = begin; i < begin + span; i++) {
      low = std::min(low, x[i]);
      high = std::max(high, x[i]);
      largest = std::max(largest, std::fabs(x[i]));
    }
    const auto minifloats = minifloat_values(set);
    for (size_t i = begin; i < begin + span; i++) {
      if (set.quantizer == QuantizerKind::minifloat) {
        const float s = set.is_static ? set.scale : largest / static_cast<float>(minifloats.back());
        const double v = std::fabs(static_cast<double>(x[i] / s));
        size_t best = 0;
        for (size_t code = 0; code < minifloats.size(); code++) {
          const double now = std::fabs(minifloats[code] - v),
                       before = std::fabs(minifloats[best] - v);
          if (now < before || (now == before && code % 2 == 0)) best = code;
        }
        out[i].value = std::copysign(static_cast<double>(s) * minifloats[best], x[i]);
        out[i].magnitude = std::fabs(out[i].value);
      } else if (set.asymmetric) {
        const auto top = static_cast<float>((1 << set.bits) - 1);
        const float s = set.is_static ? set.scale : std::max((high - low) / top, 1e-6f);
        const float zero = set.is_static ? set.low : low;
        const float q = std::min(std::max(std::nearbyint((x[i] - zero) / s), 0.0f), top);
        out[i].value = static_cast<double>(s) * q + zero;
        // Any shift of q changes what is added up.
        out[i].magnitude = static_cast<double>(s) * top + std::fabs(zero);
      } else {
        const auto top = static_cast<float>((1 << (set.bits - 1)) - 1);
        const float s = set.is_static ? set.scale : std::max(largest, 1e-5f) / top;
        const float q = std::min(std::max(std::nearbyint(x[i] / s), -top), top);
        out[i].value = static_cast<double>(s) * q;
        out[i].magnitude = std::fabs(out[i].value);
      }
    }
  }
  return out;
}

/// The runtime's own rounding, for the groups of the weights.
inline std::vector<Rounded> eight_bits(uint32_t group, const std::vector<float>& x, size_t count) {
  const auto tokens = static_cast<int64_t>(x.size() / count), columns = static_cast<int64_t>(count);
  QuantizedInput q;
  quantize_input(Isa::scalar, x.data(), tokens, columns, group, &q);
  std::vector<Rounded> out(x.size());
  for (int64_t t = 0; t < tokens; t++)
    for (int64_t k = 0; k < columns; k++) {
      const int64_t s = k / q.segment;
      const int8_t code = q.q[t * q.stride + s * q.segment_slots + (k - s * q.segment)];
      const double value = static_cast<double>(q.scales[t * q.segments + s]) * code;
      out[static_cast<size_t>(t * columns + k)] = {value, std::fabs(value)};
    }
  return out;
}

/// Element (row, k) of a low-rank factor of so many rows.
inline double factor(const ModelFile& file, uint32_t values, uint32_t scales, uint64_t rows,
                     uint64_t row, uint64_t k) {
  const ComponentRecord& c = file.head().directory.components[values];
  const ValueLayout layout(c.element, static_cast<int64_t>(rows), static_cast<int64_t>(c.cols));
  const std::byte* at = file.component(values).data() +
                        layout.offset(static_cast<int64_t>(row), static_cast<int64_t>(k));
  if (scales == kNone) return f16_to_f32(load<uint16_t>(at));
  return static_cast<double>(
             load<float>(file.component(scales).data(), static_cast<int64_t>(row))) *
         load<int8_t>(at);
}

/// Adds the terms of the product one by one.
struct Sum {
  size_t rows;
  ReferenceProduct p;

  void add(size_t token, size_t row, double term, double magnitude) {
    p.y[token * rows + row] += term;
    p.magnitude[token * rows + row] += magnitude;
  }
};

/// xh[columns_p] * factors_p of all tokens, [tokens][count].
inline std::vector<float> own_columns(const ModelFile& file, const TensorRecord& t,
                                      const PartRecord& part, const std::vector<float>& xh,
                                      size_t columns) {
  const auto places = *columns_of(file, t, part);
  std::vector<float> own;
  for (size_t token = 0; token < xh.size() / columns; token++)
    for (size_t j = 0; j < places.size(); j++) {
      own.push_back(xh[token * columns + places[j]]);
      if (part.column_factors != kNone)
        own.back() *=
            load<float>(file.component(part.column_factors).data(), static_cast<int64_t>(j));
    }
  return own;
}

inline std::vector<Rounded> rounded(const ColumnSetRecord& set, const EncodingRecord& e,
                                    const std::vector<float>& own, size_t count, bool exact) {
  if (set.quantizer != QuantizerKind::none) return quantized(set, own, count);
  if (!exact && has_integer_kernel(e)) return eight_bits(e.group, own, count);
  std::vector<Rounded> out;
  for (float value : own) out.push_back({value, std::fabs(static_cast<double>(value))});
  return out;
}

inline void add_part(const PartView& part, const std::vector<Rounded>& x, Sum& sum) {
  const auto count = static_cast<size_t>(part.columns);
  const Grouping groups = grouping(part.encoding, part.columns);
  std::vector<float> w(count);
  for (size_t row = 0; row < sum.rows; row++) {
    decode_row(part, static_cast<int64_t>(row), w.data());
    for (size_t i = 0; i < x.size(); i++) {
      const auto group = static_cast<int64_t>(i % count) / groups.length;
      const double weight = w[i % count];
      double size = std::fabs(weight);
      if (part.encoding.zero == ZeroKind::minimum_f16)  // code and minimum are added apart
        size += 2 * std::fabs(static_cast<double>(
                        group_parameters(part, static_cast<int64_t>(row), group).minimum));
      sum.add(i / count, row, weight * x[i].value, size * x[i].magnitude);
    }
  }
}

inline void add_low_rank(const ModelFile& file, const TensorRecord& t, const std::vector<float>& xh,
                         size_t columns, Sum& sum) {
  for (size_t k = 0; k < t.rank_pair; k++)
    for (size_t token = 0; token < xh.size() / columns; token++) {
      double narrow = 0, size = 0;
      for (size_t c = 0; c < columns; c++) {
        const double term = factor(file, t.low_rank_b, t.low_rank_b_scales, t.rank_pair, k, c) *
                            xh[token * columns + c];
        narrow += term;
        size += std::fabs(term);
      }
      for (size_t row = 0; row < sum.rows; row++) {
        const double a = factor(file, t.low_rank_a, t.low_rank_a_scales, sum.rows, row, k);
        sum.add(token, row, a * narrow, std::fabs(a) * size);
      }
    }
}

}  // namespace reference

/// x [tokens][columns]. Without `exact`, parts with integer kernels and no quantizer of the file's
/// take the runtime's 8 bits.
inline ReferenceProduct multiply_reference(const ModelFile& file, const TensorView& tensor,
                                           const std::vector<float>& x, bool exact) {
  const Directory& d = file.head().directory;
  const TensorRecord& t = *tensor.record;
  const InputRecord& input = d.inputs[t.input];
  const size_t columns = tensor.shape.columns, rows = tensor.shape.rows;
  const size_t tokens = x.size() / columns;
  std::vector<float> xh = x;
  if (input.smooth_state == SmoothState::apply)
    for (size_t i = 0; i < xh.size(); i++)
      xh[i] /= load<float>(file.component(input.smooth).data(), static_cast<int64_t>(i % columns));
  reference::Sum sum{rows,
                     {std::vector<double>(tokens * rows), std::vector<double>(tokens * rows)}};
  for (uint32_t i = 0; i < t.part_count; i++) {
    const PartRecord& record = d.parts[t.part_first + i];
    const PartView part = file.part(tensor, i);
    const auto own = reference::own_columns(file, t, record, xh, columns);
    const auto count = static_cast<size_t>(part.columns);
    const ColumnSetRecord& set = input.sets[record.column_set];
    reference::add_part(part, reference::rounded(set, part.encoding, own, count, exact), sum);
  }
  reference::add_low_rank(file, t, xh, columns, sum);
  for (size_t i = 0; t.bias != kNone && i < tokens * rows; i++) {
    const double bias = load<float>(file.component(t.bias).data(), static_cast<int64_t>(i % rows));
    sum.add(i / rows, i % rows, bias, std::fabs(bias));
  }
  return sum.p;
}

}  // namespace sqf
