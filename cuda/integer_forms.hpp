#pragma once
// How integer activations meet integer weights on tensor cores: as bytes, as 4-bit words or as
// bit-planes. Only chooses and measures; makes no call to the device.

#include <cstdint>

#include "cuda/device.hpp"
#include "cuda/kernels/arguments.hpp"

namespace sqf {

/// The forms of integers for a part. All give the same sums, to the bit.
struct IntegerForms {
  FormType few = FormType::s8, many = FormType::s8;  ///< up to 16 tokens, more
};

/// By the GPU's compute capability (of 8.6: 86), the part and the bits of its activations, alone.
IntegerForms integer_forms(int capability, const DevicePart& part, int bits);

/// Planes of an activation of so many bits: a power of two, so that a token's fill a tensor-core
/// block or share it with others'.
int32_t activation_planes(int bits);

/// Whether decode_b1 takes so many tokens.
bool few_for_bits(int64_t tokens, int x_planes);

/// The launch of decode_b1 for a.tokens, and its name's last number: the blocks of eight columns.
struct BitLaunch {
  LaunchShape shape;
  int32_t stages = 0;
  int blocks = 0;
};
BitLaunch bit_launch(const MatmulArguments& a, int multiprocessors, int64_t most_splits);
inline constexpr unsigned kBitSharedBytes = 80 * 1024;  ///< no launch of it takes more

/// Bytes of shared memory of prefill_s4 and prefill_b1.
unsigned narrow_shared(FormType form, int plane_count, int x_planes);

}  // namespace sqf
