#pragma once
// The files of a journal that are written whole: a head that says of which work they are, a
// payload, and a hash of both. Anything shorter, longer or other than was written is no such file.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>

#include "format/result.hpp"

namespace sqf {

struct SealedHead {
  uint64_t magic = 0;
  uint64_t key = 0;  ///< hash of the work's key
  uint64_t tag = 0;
};
inline constexpr uint64_t kWorkMagic = 0x314b524f57465153;  // "SQFWORK1"

struct Sealed {
  uint64_t key = 0, tag = 0;
  std::span<const std::byte> payload;  ///< a view into the file
};

/// None: not one, or damaged.
std::optional<Sealed> open_sealed(std::span<const std::byte> file);
/// A payload in pieces, each asked for when it is to be written.
struct Pieces {
  uint64_t count = 0, bytes = 0;  ///< bytes: of all of them
  std::function<Result<std::span<const std::byte>>(uint64_t index)> piece;
};
/// Appears whole, in the place of what was there, and is on the disk then. Errors: io; those of
/// the pieces.
Result<void> save_sealed(const std::filesystem::path& path, uint64_t key, uint64_t tag,
                         const Pieces& payload);

}  // namespace sqf
