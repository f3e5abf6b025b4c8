#include "converter/file_kind.hpp"

#include <algorithm>
#include <cctype>
#include <string_view>

#include "format/text.hpp"

namespace sqf {
namespace {

struct Signature {
  std::string_view start;
  std::string_view words;
};

constexpr Signature kSignatures[] = {
    {"\x89SQF", "an SQF file, which is what conversion makes, not what it reads"},
    {"PK\x03\x04",
     "a zip archive, perhaps a PyTorch checkpoint (.bin, .pt); save it as safetensors first"},
    {"\x80\x02", "a Python pickle (PyTorch checkpoint); save it as safetensors first"},
    {"\x80\x04", "a Python pickle (PyTorch checkpoint); save it as safetensors first"},
    {"version https://git-lfs",
     "a Git LFS pointer, not the file itself; fetch it with `git lfs pull`"},
    {"\x89HDF", "an HDF5 file; save the weights as safetensors first"},
    {"\x93NUMPY", "a NumPy array; save the weights as safetensors first"},
    {"lmgg", "a GGML file from before GGUF; convert the original model instead"},
    {"fmgg", "a GGML file from before GGUF; convert the original model instead"},
    {"tjgg", "a GGML file from before GGUF; convert the original model instead"},
    {"FUGG", "a byte-swapped GGUF file"},
    {"\x1f\x8b", "gzip-compressed; unpack it first"},
    {"\x28\xb5\x2f\xfd", "zstd-compressed; unpack it first"},
    {"\xfd"
     "7zXZ",
     "xz-compressed; unpack it first"},
    {"{", "JSON text; give the model's folder or its .safetensors file"},
};

/// The first bytes in lower case, white space at the start left out.
std::string lowered(std::string_view text) {
  const size_t start = std::min(text.find_first_not_of(" \t\r\n"), text.size());
  std::string out(text.substr(start, 16));
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

}  // namespace

FileGuess guess_file(std::span<const std::byte> bytes) {
  const std::string_view start(reinterpret_cast<const char*>(bytes.data()),
                               std::min<size_t>(bytes.size(), 64));
  if (start.empty()) return {FileKind::other, "empty"};
  if (start.starts_with("GGUF")) return {FileKind::gguf, ""};
  // A safetensors header length can begin with any byte, but a length below 2^56 leaves a zero
  // before the brace, which none of the signatures below does.
  if (start.size() > 8 && start[7] == '\0' && start[8] == '{') return {FileKind::safetensors, ""};
  for (const Signature& signature : kSignatures)
    if (start.starts_with(signature.start)) return {FileKind::other, std::string(signature.words)};
  const std::string text = lowered(start);
  if (text.starts_with("<!doctype") || text.starts_with("<html") || text.starts_with("<?xml"))
    return {FileKind::other, "a web page, not a model; the download went wrong"};
  if (start.size() < 9)
    return {FileKind::other, "only " + std::to_string(start.size()) + " bytes long"};
  if (start[8] == '{') return {FileKind::safetensors, ""};
  return {FileKind::other, "neither safetensors nor GGUF: it starts with " +
                               in_quotes(start.substr(0, 12)) +
                               " (a safetensors header would have \"{\" at byte 8)"};
}

}  // namespace sqf
