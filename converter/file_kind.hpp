#pragma once
// Which format a file is in, by its first bytes: the two that are read, and the many that people
// hand over by mistake, which are named so that a message can say what the file really is.

#include <cstddef>
#include <span>
#include <string>

namespace sqf {

enum class FileKind {
  safetensors,  ///< at least not anything else that is known; the reader checks the rest
  gguf,
  other,
};

struct FileGuess {
  FileKind kind = FileKind::other;
  std::string words;  ///< for `other`: what it is and what to do, "a zip archive, ..."
};

FileGuess guess_file(std::span<const std::byte> bytes);

}  // namespace sqf
