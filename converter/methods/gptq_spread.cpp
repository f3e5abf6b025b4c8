#include "converter/methods/gptq_spread.hpp"

#include <algorithm>
#include <cstring>

#include "converter/methods/lanes.hpp"

namespace sqf {
namespace {

constexpr int64_t kColumns = 256;  // their 16 rows stay in the first cache while errors pass
constexpr int kErrors = 8;         // at once: so many rows of the factor have a pointer each

/// J errors from j on, W rows at a time.
template <int W, int J>
[[gnu::always_inline]] inline void chunk(const Spread& s, int64_t j, int64_t from, int64_t to) {
  typedef float Float __attribute__((vector_size(W * 4)));
  const float* upper = s.upper + j * s.stride;
  for (int64_t lane = 0; lane < kTileRows; lane += W) {
    Float errors[J];
    for (int i = 0; i < J; i++)
      std::memcpy(&errors[i], s.error + (j + i) * kTileRows + lane, sizeof(Float));
    for (int64_t k = from; k < to; k++) {
      Float x;
      std::memcpy(&x, s.x + k * kTileRows + lane, sizeof x);
#pragma GCC unroll 8
      for (int i = 0; i < J; i++) x -= errors[i] * upper[i * s.stride + k];
      std::memcpy(s.x + k * kTileRows + lane, &x, sizeof x);
    }
  }
}

template <int W>
[[gnu::always_inline]] inline void all(const Spread& s) {
  for (int64_t from = s.first; from < s.end; from += kColumns) {
    const int64_t to = std::min(from + kColumns, s.end);
    int64_t j = 0;
    for (; j + kErrors <= s.count; j += kErrors) chunk<W, kErrors>(s, j, from, to);
    for (; j < s.count; j++) chunk<W, 1>(s, j, from, to);
  }
}

void spread4(const Spread& s) {
  all<4>(s);
}
#ifdef __x86_64__
[[gnu::target("avx2")]] void spread8(const Spread& s) {
  all<8>(s);
}
[[gnu::target("avx512f,avx512bw,avx512dq,avx512vl")]] void spread16(const Spread& s) {
  all<16>(s);
}
#endif

}  // namespace

std::span<const SpreadKernel> spread_kernels() {
#ifdef __x86_64__
  static constexpr SpreadKernel kAll[] = {spread4, spread8, spread16};
#else
  static constexpr SpreadKernel kAll[] = {spread4};
#endif
  return std::span(kAll).first(lane_kernels().size());
}

void spread(const Spread& work) {
  static const SpreadKernel widest = spread_kernels().back();
  widest(work);
}

}  // namespace sqf
