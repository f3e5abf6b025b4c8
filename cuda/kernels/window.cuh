#pragma once
// Scales and zeros of eight groups of a warp's rows, on their way from the file's planes into its
// shared memory: loaded a window ahead, turned into f32 once for all runs.
//
// In shared memory: scales [group][row], then alike what the sums of the activations are multiplied
// by: minus scale times zero, or minimums. Integers: minus the zeros as i32, or minimums. Then the
// rows' own factors.

#include "cuda/kernels/operands.cuh"

namespace sqf {

inline constexpr int kGroupBytes = kDecodeRows * 4;
inline constexpr int kOffsetsAt = kWindowGroups * kGroupBytes, kFactorsAt = 2 * kOffsetsAt;

template <typename T>
__device__ inline T load_global(const uint8_t* from) {
  return __ldg(reinterpret_cast<const T*>(from));
}

/// 2^23 + byte I: its last place is 1.
template <int I>
__device__ inline float float_over_byte(uint32_t bytes) {
  float f;
  asm("prmt.b32 %0, %1, %2, %3;" : "=f"(f) : "r"(bytes), "r"(0x4b000000u), "n"(0x7440 + I));
  return f;
}
__device__ inline void floats_over_bytes(uint32_t bytes, float (&out)[4]) {
  out[0] = float_over_byte<0>(bytes), out[1] = float_over_byte<1>(bytes);
  out[2] = float_over_byte<2>(bytes), out[3] = float_over_byte<3>(bytes);
}

/// What the weights of one of a launch's products are read by.
struct OwnWeights {
  const uint8_t* planes[kMorePlanes];  // of fixed bits
  const uint8_t *scales, *zeros;
  const float* row_factors;
  int rows;
  unsigned first_block;
};

/// A lane's share of the windows, one after another: rows 4 quad .. 4 quad + 3 of a tile, a group
/// of the window's first four and one of the others.
template <bool Integer, bool Offsets>
class WindowReader {
 public:
  /// Groups in [first, end); the first window has `first` and begins at a multiple of its groups.
  /// `unit`: what an operand's last place stands for, inverted.
  __device__ WindowReader(const DevicePart& part, const OwnWeights& own, const Lane& lane,
                          int first_tile, int second_tile, uint32_t window, int first, int end,
                          float unit)
      : part_(part), unit_(unit) {
    const int tile = lane.lane / 4 % 2 == 0 ? first_tile : second_tile, quad = lane.lane % 4;
    const int group = (first & ~(kWindowGroups - 1)) + lane.lane / 8;
    ahead_ = group - first;
    count_ = end - first;
    scale_bytes_ = part.scale_type == Scales::f32                                      ? 64
                   : part.scale_type == Scales::f16 || part.scale_type == Scales::bf16 ? 32
                                                                                       : 16;
    zero_bytes_ = part.zero_kind == Zeros::minimum ? 32 : part.zero_kind == Zeros::u8 ? 16 : 8;
    const int64_t at = static_cast<int64_t>(tile) * part.groups + group;
    scales_ = own.scales + at * scale_bytes_ + quad * scale_bytes_ / 4;
    zeros_ = own.zeros + at * zero_bytes_ +
             (part.zero_kind == Zeros::u4 ? quad % 2 * 4 : quad * zero_bytes_ / 4);
    if (part.zero_kind == Zeros::constant)
      zero_[0][0] = zero_[1][0] = static_cast<uint32_t>(part.zero_constant) * 0x01010101u;
    small_ = scale_bytes_ == 16 &&
             (!Offsets || part.zero_kind == Zeros::u4 || part.zero_kind == Zeros::u8);
    float factors[4] = {unit, unit, unit, unit};
    if (own.row_factors != nullptr) {
      const float4 four = reinterpret_cast<const float4*>(own.row_factors)[tile * 4 + quad];
      factors[0] *= four.x, factors[1] *= four.y, factors[2] *= four.z, factors[3] *= four.w;
    }
    if (lane.lane < 8) store_shared_floats<kFactorsAt>(window + lane.lane * 16, factors);
    __syncwarp();
  }

  /// The next window's, as the file has them. Of groups that are none, what was there before: they
  /// multiply zeros.
  __device__ void load() {
    if (small_) {
#pragma unroll
      for (int j = 0; j < 2; j++) {
        if (static_cast<unsigned>(ahead_ + 4 * j) >= static_cast<unsigned>(count_)) continue;
        scale_[j][0] = load_global<uint32_t>(scales_ + j * 64);
        if constexpr (Offsets) zero_[j][0] = load_global<uint32_t>(zeros_ + j * 4 * zero_bytes_);
      }
    } else {
      load_any<0>();
      load_any<1>();
    }
    ahead_ += kWindowGroups;
    scales_ += kWindowGroups * scale_bytes_;
    zeros_ += kWindowGroups * zero_bytes_;
  }

  /// What load() brought, into the window.
  __device__ void store(uint32_t window, const Lane& lane) const {
    float factors[4];
    shared_floats<kFactorsAt>(window + lane.lane % 8 * 16, factors);
    // Of u4 zeros the upper rows have the upper halves of bytes.
    const int shift = part_.zero_kind == Zeros::u4 ? lane.lane / 2 % 2 * 4 : 0;
    store_groups<0>(window + lane.lane * 16, factors, shift);
    store_groups<1>(window + lane.lane * 16, factors, shift);
  }

 private:
  template <int J>
  __device__ void load_any() {
    if (static_cast<unsigned>(ahead_ + 4 * J) >= static_cast<unsigned>(count_)) return;
    const uint8_t* scales = scales_ + J * 4 * scale_bytes_;
    if (scale_bytes_ == 16) {
      scale_[J][0] = load_global<uint32_t>(scales);
    } else if (scale_bytes_ == 32) {
      const uint2 v = load_global<uint2>(scales);
      scale_[J][0] = v.x, scale_[J][1] = v.y;
    } else {
      const uint4 v = load_global<uint4>(scales);
      scale_[J][0] = v.x, scale_[J][1] = v.y, scale_[J][2] = v.z, scale_[J][3] = v.w;
    }
    if (!Offsets || part_.zero_kind == Zeros::constant) return;
    const uint8_t* zeros = zeros_ + J * 4 * zero_bytes_;
    if (zero_bytes_ == 32) {
      const uint2 v = load_global<uint2>(zeros);
      zero_[J][0] = v.x, zero_[J][1] = v.y;
    } else {
      zero_[J][0] = load_global<uint32_t>(zeros);
    }
  }

  /// Times the factors.
  template <int J>
  __device__ void scales(const float (&factors)[4], float (&out)[4]) const {
    if (part_.scale_type == Scales::u8) {
      floats_over_bytes(scale_[J][0], out);
#pragma unroll
      for (int i = 0; i < 4; i++) out[i] = (out[i] - 8388608.0f) * factors[i];
      return;
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
      if (part_.scale_type == Scales::table)
        out[i] = part_.scale_values[scale_[J][0] >> 8 * i & 255];
      else if (part_.scale_type == Scales::f32)
        out[i] = __uint_as_float(scale_[J][i]);
      else if (part_.scale_type == Scales::bf16)
        out[i] = __uint_as_float(scale_[J][i / 2] >> (i % 2 * 16) << 16);
      else
        out[i] = half_at(scale_[J], i);
      out[i] *= factors[i];
    }
  }

  template <int J>
  __device__ void store_groups(uint32_t to, const float (&factors)[4], int shift) const {
    float s[4], out[4];
    scales<J>(factors, s);
    store_shared_floats<J * 4 * kGroupBytes>(to, s);
    if constexpr (!Offsets) return;
    if (part_.zero_kind == Zeros::minimum) {
#pragma unroll
      for (int i = 0; i < 4; i++) out[i] = half_at(zero_[J], i) * unit_;
    } else {
      const uint32_t mask = part_.zero_kind == Zeros::u4 ? 0x0f0f0f0fu : ~0u;
      const uint32_t bytes = zero_[J][0] >> shift & mask;
      if constexpr (Integer) {
#pragma unroll
        for (int i = 0; i < 4; i++) out[i] = __uint_as_float(0u - (bytes >> 8 * i & 255));
      } else {
        floats_over_bytes(bytes, out);
#pragma unroll
        for (int i = 0; i < 4; i++) out[i] = s[i] * (8388608.0f - out[i]);
      }
    }
    store_shared_floats<J * 4 * kGroupBytes + kOffsetsAt>(to, out);
  }

  const DevicePart& part_;
  const uint8_t *scales_, *zeros_;
  int scale_bytes_, zero_bytes_;  // of a group
  int ahead_, count_;             // from the first group on
  bool small_;                    // one word of scales, one of zeros
  float unit_;
  uint32_t scale_[2][4] = {}, zero_[2][2] = {};
};

}  // namespace sqf
