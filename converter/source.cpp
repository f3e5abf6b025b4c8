#include "converter/source.hpp"

#include <system_error>

#include "converter/file_kind.hpp"
#include "converter/gguf_model.hpp"
#include "converter/hf_folder.hpp"

namespace sqf {

Result<SourceModel> open_source(const std::filesystem::path& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) return open_hf_folder(path);
  Result<Mapping> mapping = Mapping::open(path);
  if (!mapping) return mapping.error();
  const FileGuess guess = guess_file(mapping->bytes());
  switch (guess.kind) {
    case FileKind::gguf:
      return open_gguf(path, *std::move(mapping));
    case FileKind::safetensors:
      return open_hf_file(path);
    case FileKind::other:
      break;
  }
  return malformed(path.string() + ": " + guess.words);
}

}  // namespace sqf
