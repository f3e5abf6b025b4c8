#include "converter/methods/narrow.hpp"

#include <algorithm>
#include <cstring>

#include "converter/methods/lanes.hpp"

namespace sqf {
namespace {

constexpr int64_t kRows = 8;  // sums that hide the latency of an addition

/// W lanes at a time, N rows of the large matrix: read along its rows in both directions.
template <int W>
struct Loops {
  typedef float Float __attribute__((vector_size(W * 4)));

  template <int N>
  [[gnu::always_inline]] static inline void rows_forward(const Wide& e, int64_t row, const float* x,
                                                         int64_t width, float* y) {
    const float* from = e.at + row * e.columns;
    for (int64_t lane = 0; lane < width; lane += W) {
      Float sums[N] = {}, v;
      for (int64_t k = 0; k < e.columns; k++) {
        std::memcpy(&v, x + k * width + lane, sizeof v);
#pragma GCC unroll 8
        for (int i = 0; i < N; i++) sums[i] += from[i * e.columns + k] * v;
      }
      for (int i = 0; i < N; i++)
        std::memcpy(y + (row + i) * width + lane, &sums[i], sizeof sums[i]);
    }
  }

  template <int N>
  [[gnu::always_inline]] static inline void rows_backward(const Wide& e, int64_t row,
                                                          const float* y, int64_t width, float* x) {
    const float* from = e.at + row * e.columns;
    for (int64_t lane = 0; lane < width; lane += W) {
      Float factors[N], sum;
      for (int i = 0; i < N; i++)
        std::memcpy(&factors[i], y + (row + i) * width + lane, sizeof factors[i]);
      for (int64_t k = 0; k < e.columns; k++) {
        std::memcpy(&sum, x + k * width + lane, sizeof sum);
#pragma GCC unroll 8
        for (int i = 0; i < N; i++) sum += from[i * e.columns + k] * factors[i];
        std::memcpy(x + k * width + lane, &sum, sizeof sum);
      }
    }
  }

  [[gnu::always_inline]] static inline void forward(const Wide& e, const float* x, int64_t width,
                                                    float* y) {
    int64_t row = 0;
    for (; row + kRows <= e.rows; row += kRows) rows_forward<kRows>(e, row, x, width, y);
    for (; row < e.rows; row++) rows_forward<1>(e, row, x, width, y);
  }

  [[gnu::always_inline]] static inline void backward(const Wide& e, const float* y, int64_t width,
                                                     float* x) {
    std::fill_n(x, e.columns * width, 0.0f);
    int64_t row = 0;
    for (; row + kRows <= e.rows; row += kRows) rows_backward<kRows>(e, row, y, width, x);
    for (; row < e.rows; row++) rows_backward<1>(e, row, y, width, x);
  }
};

void forward_4(const Wide& e, const float* x, int64_t width, float* y) {
  Loops<4>::forward(e, x, width, y);
}
void backward_4(const Wide& e, const float* y, int64_t width, float* x) {
  Loops<4>::backward(e, y, width, x);
}

#ifdef __x86_64__
[[gnu::target("avx2")]] void forward_8(const Wide& e, const float* x, int64_t width, float* y) {
  Loops<8>::forward(e, x, width, y);
}
[[gnu::target("avx2")]] void backward_8(const Wide& e, const float* y, int64_t width, float* x) {
  Loops<8>::backward(e, y, width, x);
}
[[gnu::target("avx512f")]] void forward_16(const Wide& e, const float* x, int64_t width, float* y) {
  Loops<16>::forward(e, x, width, y);
}
[[gnu::target("avx512f")]] void backward_16(const Wide& e, const float* y, int64_t width,
                                            float* x) {
  Loops<16>::backward(e, y, width, x);
}
#endif

}  // namespace

std::span<const NarrowKernels> narrow_kernels() {
  static constexpr NarrowKernels kAll[] = {
      {"4 lanes", forward_4, backward_4},
#ifdef __x86_64__
      {"8 lanes", forward_8, backward_8},
      {"16 lanes", forward_16, backward_16},
#endif
  };
  return std::span(kAll).first(lane_kernels().size());
}

}  // namespace sqf
