#pragma once
// Sections stored as one zstd frame (spec/sqf.md 2.3). The frame's header is read here, before
// the library sees a byte: it must state its size, a small window and no dictionary.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "format/result.hpp"

namespace sqf {

inline constexpr uint64_t kMaxZstdWindow = uint64_t{8} << 20;

/// The bytes of the one frame that fills `frame`, `raw_size` of them: memory is taken only after
/// the frame's own header agrees. Errors: malformed (R304).
Result<std::string> decompress_frame(std::span<const std::byte> frame, uint64_t raw_size,
                                     const std::string& where);

/// One frame that decompress_frame takes. Deterministic for one version of the library.
std::string compress_frame(std::string_view bytes);

}  // namespace sqf
