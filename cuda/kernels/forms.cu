// Activations in the form that a product wants: normed or gated, divided by the smoothing vector,
// gathered, scaled, quantized by the file's own rule; and what is known of their sums. A block
// makes one token. f16 stand in the order 0 2 1 3 of every four columns, as tensor-core operands
// take them (tile.cuh); s8 and f32 in their own order; s4 and b1 in words like those of the
// weights' planes (narrow.cuh). Columns behind the last are zeros.

#include <cuda_fp16.h>

#include "cuda/kernels/arguments.hpp"

namespace sqf {
namespace {

constexpr int kWarps = kFormThreads / 32;

template <typename Join>
__device__ float reduce(float value, float* shared, Join join) {
  for (int step = 16; step > 0; step /= 2)
    value = join(value, __shfl_xor_sync(0xffffffffu, value, step));
  __syncthreads();  // the last reduction's readers are done
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = value;
  __syncthreads();
  float all = shared[0];
  for (int w = 1; w < kWarps; w++) all = join(all, shared[w]);
  return all;
}

__device__ float add(float a, float b) {
  return a + b;
}
/// A NaN stays: fminf and fmaxf would drop it.
__device__ float least(float a, float b) {
  return a != a ? a : b != b ? b : fminf(a, b);
}
__device__ float most(float a, float b) {
  return a != a ? a : b != b ? b : fmaxf(a, b);
}

struct Maker {
  const FormArguments& a;
  int token;
  const float* x;
  float norm;  // 1 / root mean square

  __device__ float value(int i) const {
    const int column = a.gather != nullptr ? static_cast<int>(a.gather[i]) : i;
    float v = x[column];
    if (a.source == FormSource::norm) v = v * norm * a.other[column];
    if (a.source == FormSource::gated)
      v = v / (1.0f + expf(-v)) * a.other[static_cast<int64_t>(token) * a.columns + column];
    if (a.smooth != nullptr) v = __fdiv_rn(v, a.smooth[column]);
    if (a.factors != nullptr) v = __fmul_rn(v, a.factors[i]);
    return v;
  }
};

/// The nearest value of a saturating minifloat, ties to even: |v| is at most the largest.
__device__ float round_minifloat(float v, int exponent_bits, int mantissa_bits, float largest) {
  if (v != v) return v;
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const float size = fminf(fabsf(v), largest);
  int exponent = size == 0.0f ? 1 - bias : static_cast<int>(__float_as_uint(size) >> 23) - 127;
  exponent = max(exponent, 1 - bias);
  const float step = __uint_as_float(static_cast<uint32_t>(exponent - mantissa_bits + 127) << 23);
  return copysignf(fminf(rintf(size / step) * step, largest), v);
}

struct Scale {
  float scale, low;
};

/// As format/activation.cpp has it, each step rounded.
__device__ Scale scale_of(const FormArguments& a, float low, float high) {
  const float none = __uint_as_float(0x7fc00000u);
  if (low != low || high != high || isinf(low) || isinf(high)) return {none, 0};
  if (a.is_static != 0) return {a.scale, a.asymmetric != 0 ? a.low : 0.0f};
  const float largest = fmaxf(fabsf(low), fabsf(high));
  if (a.quantizer == Quantizer::minifloat) return {__fdiv_rn(largest, a.largest), 0};
  if (a.asymmetric == 0) return {__fdiv_rn(fmaxf(largest, 1e-5f), a.largest), 0};
  const float scale = fmaxf(__fdiv_rn(__fsub_rn(high, low), a.largest), 1e-6f);
  return isinf(scale) ? Scale{none, 0} : Scale{scale, low};
}

__device__ int quantize(const FormArguments& a, Scale s, float v) {
  if (s.scale != s.scale) return 0;
  const float steps = __fdiv_rn(__fsub_rn(v, s.low), s.scale);
  return static_cast<int>(
      rintf(fminf(fmaxf(steps, static_cast<float>(a.lowest)), static_cast<float>(a.highest))));
}

__device__ float rounded(const FormArguments& a, Scale s, float v) {
  if (a.quantizer == Quantizer::none) return v;
  if (s.scale != s.scale || s.scale == 0.0f) return s.scale;  // so small that nothing is left
  if (a.quantizer == Quantizer::integer)
    return __fadd_rn(__fmul_rn(s.scale, static_cast<float>(quantize(a, s, v))), s.low);
  const float share = __fdiv_rn(v, s.scale);
  return __fmul_rn(s.scale, round_minifloat(share, a.exponent_bits, a.mantissa_bits, a.largest));
}

/// Where column i of a row of f16 stands.
__device__ int place_of(int i) {
  const int j = i & 3;
  return (i & ~3) | (j == 1 ? 2 : j == 2 ? 1 : j);
}

/// Integers of 32 columns, a warp at a time, as words.
__device__ void write_words(const FormArguments& a, const Maker& m, Scale scale) {
  const int lane = threadIdx.x % 32, planes = a.type == FormType::s4 ? 4 : a.planes;
  uint32_t* row = static_cast<uint32_t*>(a.out) + blockIdx.x * (a.stride * planes / 32);
  for (int first = threadIdx.x / 32 * 32; first < a.stride; first += kFormThreads) {
    // Bit 8 i + d of a word is its column i + 4 d.
    const int i = first + (a.type == FormType::s4 ? lane : lane / 8 + lane % 8 * 4);
    const int q = i < a.count ? quantize(a, scale, m.value(i)) - a.shift : 0;
    if (a.type == FormType::s4) {
      uint32_t word = static_cast<uint32_t>(q & 15) << (lane % 4 * 8 + lane / 4 % 2 * 4);
      for (int step = 1; step < 8; step *= 2) word |= __shfl_xor_sync(0xffffffffu, word, step);
      if (lane % 8 == 0) row[i / 8] = word;
    } else {
      uint32_t* to = row + first / 128 * planes * 4 + first / 32 % 4;
      for (int p = 0; p < planes; p++) {
        const uint32_t word = __ballot_sync(0xffffffffu, (q >> p & 1) != 0);
        if (lane == p) to[p * 4] = word;
      }
    }
  }
}

/// Sums of `unit` columns are what value() gives; groups are multiples of it, or the whole row.
template <typename T>
__device__ void sum_groups(const FormArguments& a, int unit,
                           T (*value)(const FormArguments&, int, int)) {
  T* sums = static_cast<T*>(a.sums) + static_cast<int64_t>(blockIdx.x) * a.groups;
  for (int group = threadIdx.x / 32; group < a.groups; group += kWarps) {
    const int begin = group * a.group / unit;
    const int end = (min((group + 1) * a.group, a.count) + unit - 1) / unit;
    T sum = 0;
    for (int i = begin + threadIdx.x % 32; i < end; i += 32) sum += value(a, blockIdx.x, i);
    for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
    if (threadIdx.x % 32 == 0) sums[group] = sum;
  }
}

__device__ float half_of(const FormArguments& a, int token, int i) {
  const __half* out = static_cast<const __half*>(a.out) + token * a.stride + place_of(i);
  return __half2float(*out) + (a.split != 0 ? __half2float(out[a.tokens * a.stride]) : 0.0f);
}
__device__ int byte_of(const FormArguments& a, int token, int i) {
  return static_cast<const int8_t*>(a.out)[token * a.stride + i];
}
__device__ int nibbles_of(const FormArguments& a, int token, int word) {
  const uint32_t w = static_cast<const uint32_t*>(a.out)[token * (a.stride / 8) + word];
  int sum = 0;
  for (int n = 0; n < 8; n++) sum += static_cast<int>(w << (28 - 4 * n)) >> 28;
  return sum;
}
__device__ int bits_of(const FormArguments& a, int token, int word) {
  const uint32_t* from = static_cast<const uint32_t*>(a.out) + token * (a.stride * a.planes / 32) +
                         word / 4 * a.planes * 4 + word % 4;
  const int top = a.planes - 1;
  int sum = -(__popc(from[top * 4]) << top);
  for (int p = 0; p < top; p++) sum += __popc(from[p * 4]) << p;
  return sum;
}

}  // namespace

extern "C" __global__ void __launch_bounds__(kFormThreads)
    form(const __grid_constant__ FormArguments a) {
  __shared__ float shared[kWarps];
  Maker m = {a, static_cast<int>(blockIdx.x), a.x + static_cast<int64_t>(blockIdx.x) * a.columns,
             1};
  if (a.source == FormSource::norm) {
    float squares = 0;
    for (int i = threadIdx.x; i < a.columns; i += kFormThreads)
      squares = fmaf(m.x[i], m.x[i], squares);
    squares = reduce(squares, shared, add);
    m.norm = 1.0f / sqrtf(squares / static_cast<float>(a.columns) + a.epsilon);
  }
  Scale scale = {0, 0};
  if (a.quantizer != Quantizer::none) {
    float low = INFINITY, high = -INFINITY;
    if (a.ranges != nullptr) {
      for (int t = threadIdx.x; t < a.tokens; t += kFormThreads) {
        low = least(low, a.ranges[2 * t]);
        high = most(high, a.ranges[2 * t + 1]);
      }
    } else {
      for (int i = threadIdx.x; i < a.count; i += kFormThreads) {
        const float v = m.value(i);
        low = least(low, v);
        high = most(high, v);
      }
    }
    low = reduce(low, shared, least);
    high = reduce(high, shared, most);
    if (a.ranges_out != nullptr) {
      if (threadIdx.x == 0) {
        a.ranges_out[2 * blockIdx.x] = low;
        a.ranges_out[2 * blockIdx.x + 1] = high;
      }
      return;
    }
    scale = scale_of(a, low, high);
  }
  const bool words = a.type == FormType::s4 || a.type == FormType::b1;
  const bool integer = words || a.type == FormType::s8;
  if (words) write_words(a, m, scale);
  const int64_t row = blockIdx.x * a.stride;
  for (int i = threadIdx.x; !words && i < a.stride; i += kFormThreads) {
    const bool real = i < a.count;
    if (a.type == FormType::s8)
      static_cast<int8_t*>(a.out)[row + i] =
          static_cast<int8_t>(real ? quantize(a, scale, m.value(i)) - a.shift : 0);
    else if (a.type == FormType::f16) {
      auto* out = static_cast<__half*>(a.out) + row + place_of(i);
      const float value = real ? rounded(a, scale, m.value(i)) : 0.0f;
      const __half high = __float2half_rn(value);
      *out = high;
      if (a.split != 0) out[a.tokens * a.stride] = __float2half_rn(value - __half2float(high));
    } else
      static_cast<float*>(a.out)[row + i] = real ? rounded(a, scale, m.value(i)) : 0.0f;
  }
  if (integer && threadIdx.x == 0) {
    a.scales[blockIdx.x] = scale.scale;
    if (a.lows != nullptr)
      a.lows[blockIdx.x] = fmaf(scale.scale, static_cast<float>(a.shift), scale.low);
  }
  if (a.sums == nullptr) return;
  __syncthreads();
  if (a.type == FormType::s8)
    sum_groups<int>(a, 1, byte_of);
  else if (a.type == FormType::s4)
    sum_groups<int>(a, 8, nibbles_of);
  else if (a.type == FormType::b1)
    sum_groups<int>(a, 32, bits_of);
  else
    sum_groups<float>(a, 1, half_of);
}

}  // namespace sqf
