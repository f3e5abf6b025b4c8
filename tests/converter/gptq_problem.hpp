#pragma once
// Weights and the activations that meet them, for the tests of GPTQ.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "converter/methods/gptq.hpp"

namespace sqf {

/// X^T X of x [count][columns].
inline std::vector<double> gram_of(const std::vector<float>& x, int64_t columns) {
  const size_t size = static_cast<size_t>(columns);
  std::vector<double> gram(size * size);
  for (size_t token = 0; token < x.size(); token += size)
    for (size_t i = 0; i < size; i++)
      for (size_t k = 0; k < size; k++)
        gram[i * size + k] += static_cast<double>(x[token + i]) * static_cast<double>(x[token + k]);
  return gram;
}

inline std::vector<float> gaussians(int64_t count, float size, std::mt19937* random) {
  std::normal_distribution<float> normal;
  std::vector<float> out(static_cast<size_t>(count));
  for (float& x : out) x = size * normal(*random);
  return out;
}

/// [tokens][columns], of so many directions and some noise, every channel as loud as `loudness`.
inline std::vector<float> activations(int64_t tokens, int64_t columns, int64_t rank,
                                      const std::vector<float>& mix,
                                      const std::vector<float>& loudness, std::mt19937* random) {
  const std::vector<float> z = gaussians(tokens * rank, 1, random);
  std::vector<float> x = gaussians(tokens * columns, 0.3f, random);
  const float share = 1 / std::sqrt(static_cast<float>(rank) + 1);
  for (int64_t t = 0; t < tokens; t++)
    for (int64_t k = 0; k < columns; k++) {
      float sum = 0;
      for (int64_t i = 0; i < rank; i++)
        sum += z[static_cast<size_t>(t * rank + i)] * mix[static_cast<size_t>(i * columns + k)];
      float& value = x[static_cast<size_t>(t * columns + k)];
      value = (value + share * sum) * loudness[static_cast<size_t>(k)];
    }
  return x;
}

inline GptqInput input_of(const std::vector<double>& gram, int64_t columns,
                          const std::vector<uint32_t>& kept, const GptqOptions& options) {
  auto input = gptq_input(gram, columns, kept, options);
  EXPECT_TRUE(input) << input.error().message;
  return input ? std::move(input).value() : GptqInput{};
}

struct Rounded {
  PartBuffers part;
  std::vector<float> kept;  ///< [rows][kept]
  QuantizeStats stats;

  bool same_bytes(const Rounded& other) const {
    return part.planes == other.part.planes && part.scales == other.part.scales &&
           part.row_factors == other.part.row_factors && part.zeros == other.part.zeros &&
           kept == other.kept;
  }
};

inline int64_t rows_of_tile(int64_t rows, int64_t tile) {
  return std::min<int64_t>(kTileRows, rows - tile * kTileRows);
}

inline Rounded gptq(const EncodingRecord& e, int64_t rows, const std::vector<float>& w,
                    const GptqInput& input, const QuantizeOptions& options) {
  EXPECT_FALSE(encoding_problem(e)) << *encoding_problem(e);
  Rounded out = {allocate_part(e, rows, input.columns - input.kept),
                 std::vector<float>(static_cast<size_t>(rows * input.kept)),
                 {}};
  for (int64_t tile = 0; tile < tiles_of(rows); tile++)
    gptq_tile(w.data() + tile * kTileRows * input.columns, tile, rows_of_tile(rows, tile), input,
              options, &out.part, out.kept.data() + tile * kTileRows * input.kept, &out.stats);
  return out;
}

/// The columns that are not kept, each rounded by itself.
inline Rounded plain(const EncodingRecord& e, int64_t rows, const std::vector<float>& w,
                     int64_t columns, const std::vector<uint32_t>& kept,
                     const QuantizeOptions& options) {
  const int64_t count = static_cast<int64_t>(kept.size());
  Rounded out = {allocate_part(e, rows, columns - count), {}, {}};
  std::vector<float> rounded;
  for (int64_t row = 0; row < rows; row++)
    for (int64_t k = 0; k < columns; k++) {
      const bool stays = std::ranges::binary_search(kept, static_cast<uint32_t>(k));
      (stays ? out.kept : rounded).push_back(w[static_cast<size_t>(row * columns + k)]);
    }
  for (int64_t tile = 0; tile < tiles_of(rows); tile++)
    quantize_tile(rounded.data() + tile * kTileRows * (columns - count), tile,
                  rows_of_tile(rows, tile), options, &out.part, &out.stats);
  return out;
}

/// All columns where they belong, [rows][columns], as decoded.
inline std::vector<float> joined(const Rounded& rounded, int64_t columns,
                                 const std::vector<uint32_t>& kept) {
  std::vector<float> out, row_values(static_cast<size_t>(rounded.part.columns));
  auto next_kept = rounded.kept.begin();
  for (int64_t row = 0; row < rounded.part.rows; row++) {
    decode_row(rounded.part.view(), row, row_values.data());
    auto next = row_values.begin();
    for (int64_t k = 0; k < columns; k++)
      out.push_back(std::ranges::binary_search(kept, static_cast<uint32_t>(k)) ? *next_kept++
                                                                               : *next++);
  }
  return out;
}

/// |X (a - b)^T|^2 by the Gram matrix of X.
inline double output_error(const std::vector<float>& a, const std::vector<float>& b,
                           const std::vector<double>& gram, int64_t columns) {
  const size_t size = static_cast<size_t>(columns);
  double total = 0;
  std::vector<double> off(size);
  for (size_t row = 0; row < a.size(); row += size) {
    for (size_t k = 0; k < size; k++)
      off[k] = static_cast<double>(a[row + k]) - static_cast<double>(b[row + k]);
    for (size_t i = 0; i < size; i++) {
      double sum = 0;
      for (size_t k = 0; k < size; k++) sum += gram[i * size + k] * off[k];
      total += off[i] * sum;
    }
  }
  return total;
}

}  // namespace sqf
