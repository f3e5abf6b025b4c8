#pragma once
// The quantizers that a file states for activations (spec/sqf.md, 3.2): from the numbers to a
// scale, and from there to rounded f32. Scalar and the same everywhere. An infinity or NaN makes
// the scale NaN, so that it comes out of the product.

#include "format/layout.hpp"

namespace sqf {

/// The smallest and the largest value; both NaN where some value is an infinity or NaN.
struct ActivationRange {
  float low = 0, high = 0;
};
ActivationRange range_of(const float* x, int64_t count);
ActivationRange join(ActivationRange a, ActivationRange b);

/// An element stands for scale * q + low; low is 0 where the quantizer is symmetric.
struct ActivationScale {
  float scale = 0, low = 0;
};
ActivationScale scale_of(const ColumnSetRecord& set, ActivationRange range);

/// The integers that q can be.
struct IntegerRange {
  int32_t lowest = 0, highest = 0;
};
IntegerRange integers_of(const ColumnSetRecord& set);
/// The largest that an element can be at a scale of 1: what a symmetric scale is a share of.
float largest_element(const ColumnSetRecord& set);

/// Replaces x [count] by what its rounded values stand for.
void round_activation(const ColumnSetRecord& set, ActivationScale scale, float* x, int64_t count);

}  // namespace sqf
