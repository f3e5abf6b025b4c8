#include "converter/methods/gram_error.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

namespace sqf {
namespace {

constexpr int64_t kTogether = 4;  // rows of G whose sums run beside each other

/// W rows of the tile: each row of G below the diagonal counts twice.
template <int W>
[[gnu::always_inline]] inline void form(const GramForm& f) {
  typedef double Double __attribute__((vector_size(W * 8)));
  for (int64_t lane = 0; lane < kTileRows; lane += W) {
    Double total = {}, d;
    for (int64_t i = 0; i < f.size; i += kTogether) {
      Double sums[kTogether] = {};
      const int64_t count = std::min(kTogether, f.size - i);
      const float* row[kTogether];
      for (int64_t r = 0; r < kTogether; r++)
        row[r] = f.gram + (i + std::min(r, count - 1)) * f.size;
      for (int64_t j = 0; j < i; j++) {
        std::memcpy(&d, f.off + j * kTileRows + lane, sizeof d);
#pragma GCC unroll 4
        for (int64_t r = 0; r < kTogether; r++) sums[r] += d * static_cast<double>(row[r][j]);
      }
      for (int64_t r = 0; r < count; r++) {
        for (int64_t j = i; j < i + r; j++) {
          std::memcpy(&d, f.off + j * kTileRows + lane, sizeof d);
          sums[r] += d * static_cast<double>(row[r][j]);
        }
        std::memcpy(&d, f.off + (i + r) * kTileRows + lane, sizeof d);
        total += d * (sums[r] + sums[r] + d * static_cast<double>(row[r][i + r]));
      }
    }
    std::memcpy(f.error + lane, &total, sizeof total);
  }
}

void form2(const GramForm& f) {
  form<2>(f);
}
#ifdef __x86_64__
[[gnu::target("avx2")]] void form4(const GramForm& f) {
  form<4>(f);
}
[[gnu::target("avx512f,avx512bw,avx512dq,avx512vl")]] void form8(const GramForm& f) {
  form<8>(f);
}
#endif

/// What the grid makes of a group: [size][16].
struct Rounded {
  std::vector<double> decoded, off;

  Rounded(const LaneGroup& group, const LaneGrid& grid) {
    const auto count = static_cast<size_t>(group.size * kTileRows);
    std::vector<uint8_t> codes(count);
    LaneLoss unused;
    group.kernels->encode(group.x, group.size, grid, codes.data(), &unused);
    for (size_t i = 0; i < count; i++) {
      const size_t lane = i % kTileRows;
      // In f32, as a reader decodes it.
      const float level = grid.levels != nullptr ? grid.levels->values[codes[i]]
                                                 : static_cast<float>(codes[i]) - grid.zero[lane];
      const float value = grid.scale[lane] * level + grid.minimum[lane];
      decoded.push_back(static_cast<double>(value));
      off.push_back(static_cast<double>(group.x[i]) - static_cast<double>(value));
    }
  }
};

LaneErrors form_of(const LaneGroup& group, const std::vector<double>& off) {
  static const GramKernel widest = gram_kernels().back();
  LaneErrors errors;
  widest({group.gram, off.data(), group.size, errors.data()});
  for (double& error : errors) error = std::max(error, 0.0);
  return errors;
}

}  // namespace

std::span<const GramKernel> gram_kernels() {
#ifdef __x86_64__
  static constexpr GramKernel kAll[] = {form2, form4, form8};
#else
  static constexpr GramKernel kAll[] = {form2};
#endif
  return std::span(kAll).first(lane_kernels().size());
}

LaneErrors gram_errors(const LaneGroup& group, const LaneGrid& grid) {
  return form_of(group, Rounded(group, grid).off);
}

LaneErrors best_multiples(const LaneGroup& group, const LaneGrid& grid) {
  // With q what is decoded less the minimum and d what is off: 1 + (q G d) / (q G q).
  Rounded rounded(group, grid);
  for (size_t i = 0; i < rounded.decoded.size(); i++)
    rounded.decoded[i] -= static_cast<double>(grid.minimum[i % kTileRows]);
  const LaneErrors levels = form_of(group, rounded.decoded), errors = form_of(group, rounded.off);
  for (size_t i = 0; i < rounded.off.size(); i++) rounded.off[i] += rounded.decoded[i];
  LaneErrors multiples = form_of(group, rounded.off);
  for (size_t lane = 0; lane < kTileRows; lane++) {
    const double both = (multiples[lane] - levels[lane] - errors[lane]) / 2;
    multiples[lane] = levels[lane] > 0 ? 1 + both / levels[lane] : 1;
    if (!(multiples[lane] > 0.5 && multiples[lane] < 2)) multiples[lane] = 1;
  }
  return multiples;
}

}  // namespace sqf
