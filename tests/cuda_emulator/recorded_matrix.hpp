#pragma once
// Recordings of real tensor cores, tests/cuda_emulator/recorded/*.json, made by running the kernels
// of record.cu:
//
//   {"device": "NVIDIA ...", "capability": 80,
//    "mma":      [{"instruction": "m16n8k16...", "a": W, "b": W, "c": W, "d": W}, ...],
//    "ldmatrix": [{"instruction": "ldmatrix_x4_trans", "words": W, "offsets": W, "d": W}, ...],
//    "stmatrix": [{"instruction": "stmatrix_x2", "s": W, "offsets": W, "words": W, "after": W},
//    ...]}
//
// W is a string of 8 hexadecimal digits per 32-bit word, in the order that the kernels have in
// memory; "after" are the words of shared memory afterwards. Each list may be absent.

#include <string>
#include <vector>

#include "format/json.hpp"
#include "tests/cuda_emulator/matrix_layouts.hpp"

namespace sqf {

std::string words_to_text(std::span<const uint32_t> words);

/// Where the emulated instructions give something else than the recording: integers, bits and
/// memory must be equal, floating point as near as the hardware's precision and ours allow.
std::vector<std::string> differences(const Json& recording);

}  // namespace sqf
