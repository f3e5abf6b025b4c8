#pragma once
// Which instruction set the kernels use. Chosen once at run time from what the CPU offers; no file
// outside the kernel sources is compiled for more than the baseline.

#include <cstdint>

namespace sqf {

enum class Isa : uint8_t { scalar, avx2, avx512_vnni };

/// What the CPU and the system offer, whatever the environment says.
Isa detected_isa();

/// What to use: detected_isa(), or less where the variable SQF_ISA (scalar, avx2, avx512) asks for
/// less. Asking for more than there is, or for an unknown name, changes nothing.
Isa best_isa();

const char* isa_name(Isa isa);

}  // namespace sqf
