#pragma once
// A file seen through a read-only memory mapping. Refuses everything that is not a regular file.

#include <cstddef>
#include <filesystem>
#include <span>

#include "format/result.hpp"

namespace sqf {

/// Owns one read-only mapping. Move-only; views into bytes() live as long as it does. Reading is
/// safe from any thread. A file that another process truncates while mapped raises SIGBUS on
/// touch, as with any mapping: replace files by rename instead.
class Mapping {
 public:
  /// Maps the whole of `path`. An empty file gives an empty view. Errors: io, with the path.
  static Result<Mapping> open(const std::filesystem::path& path);

  Mapping() = default;
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping();

  std::span<const std::byte> bytes() const { return {data_, size_}; }

 private:
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

/// Tells the system that mapped bytes will not be read again soon, so that a long pass over a file
/// does not keep it all in memory. They stay readable.
void release_pages(std::span<const std::byte> bytes);

}  // namespace sqf
