#pragma once
// The steps of a decoder block between its matrix products, in f32. Fixed lanes and order: the
// same bits on every CPU that has fused multiply-adds.

#include <cstdint>

namespace sqf {

/// out = x / sqrt(mean(x^2) + epsilon) * weight, all [n]. out may be x.
void norm_step(const float* x, const float* weight, int64_t n, float epsilon, float* out);

/// Turns one head [dim] in place; pairs are (i, i + dim / 2), cosines and sines [dim / 2].
void rotary_step(float* head, const float* cosines, const float* sines, int64_t dim);

/// softmax(scale * x[0, length)), and 0 in [length, padded).
void softmax_step(float* x, int64_t length, int64_t padded, float scale);

/// gate[i] = silu(gate[i]) * up[i]
void gate_step(const float* up, int64_t n, float* gate);

/// Takes one token into the sums over tokens: the largest |x|, the sums of |x| and of x^2, by
/// channel. Squares of f32 are exact in f64.
void add_channels(const float* x, int64_t n, float* abs_max, double* abs, double* square);

/// x[i] += y[i]
void add_step(const float* y, int64_t n, float* x);

}  // namespace sqf
