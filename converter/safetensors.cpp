#include "converter/safetensors.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <string>

#include "converter/file_kind.hpp"
#include "format/text.hpp"

namespace sqf {
namespace {

constexpr uint64_t kMaxHeaderBytes = 100'000'000;
constexpr size_t kMaxSafetensorsRank = 3;
constexpr size_t kMaxNameBytes = 1024;

constexpr std::array<std::string_view, 17> kOtherTypes = {
    "BOOL", "U8",  "I8", "U16",     "I16",     "U32",     "I32",     "U64",    "I64",
    "F64",  "C64", "F4", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F6_E2M3", "F6_E3M2"};

/// One entry of the header, with the bytes [begin, end) of the data it claims.
struct Entry {
  SourceTensor tensor;
  uint64_t begin = 0;
  uint64_t end = 0;
};

Result<std::string_view> header_text(std::span<const std::byte> file, const std::string& what) {
  const FileGuess guess = guess_file(file);
  if (guess.kind == FileKind::gguf)
    return malformed(what + ": a GGUF file where a safetensors file is expected");
  if (guess.kind == FileKind::other) return malformed(what + ": " + guess.words);
  uint64_t length = 0;
  for (size_t i = 8; i-- > 0;) length = length << 8 | static_cast<uint64_t>(file[i]);
  if (length > kMaxHeaderBytes)
    return malformed(what + ": header length " + std::to_string(length) + " is over the limit of " +
                     std::to_string(kMaxHeaderBytes));
  if (length > file.size() - 8)
    return malformed(what + ": truncated: header length " + std::to_string(length) + ", but only " +
                     std::to_string(file.size() - 8) + " bytes follow");
  if (length == 0) return malformed(what + ": header length is 0");
  return std::string_view(reinterpret_cast<const char*>(file.data()) + 8,
                          static_cast<size_t>(length));
}

Result<SourceType> read_type(const Json& info, const std::string& where) {
  const auto found = info.find("dtype");
  if (found == info.end() || !found->is_string())
    return malformed(where + ": dtype is missing or not a string");
  const std::string& name = found->get_ref<const std::string&>();
  if (name == "F32") return SourceType::f32;
  if (name == "F16") return SourceType::f16;
  if (name == "BF16") return SourceType::bf16;
  if (std::find(kOtherTypes.begin(), kOtherTypes.end(), name) != kOtherTypes.end())
    return unsupported(where + ": dtype " + name + "; only F32, F16 and BF16 can be converted");
  return malformed(where + ": unknown dtype " + in_quotes(name));
}

Result<std::vector<int64_t>> read_shape(const Json& info, const std::string& where) {
  const auto found = info.find("shape");
  if (found == info.end() || !found->is_array())
    return malformed(where + ": shape is missing or not an array");
  if (found->empty()) return unsupported(where + ": a scalar (shape []); rank 1 to 3 is expected");
  if (found->size() > kMaxSafetensorsRank)
    return unsupported(where + ": rank " + std::to_string(found->size()) +
                       "; rank 1 to 3 is expected");
  std::vector<int64_t> shape;
  for (const Json& dimension : *found) {
    if (!dimension.is_number_unsigned() ||
        dimension.get<uint64_t>() > uint64_t{std::numeric_limits<int64_t>::max()})
      return malformed(where + ": dimension " + in_quotes(dimension.dump()) + " is not a count");
    if (dimension.get<uint64_t>() == 0) return malformed(where + ": dimension 0 (empty tensor)");
    shape.push_back(static_cast<int64_t>(dimension.get<uint64_t>()));
  }
  return shape;
}

/// Bytes a tensor of this shape takes, nothing where that overflows.
std::optional<uint64_t> tensor_bytes(const std::vector<int64_t>& shape, SourceType type) {
  int64_t total = block_bytes(type);
  for (const int64_t dimension : shape)
    if (__builtin_mul_overflow(total, dimension, &total)) return std::nullopt;
  return static_cast<uint64_t>(total);
}

Result<void> read_offsets(const Json& info, uint64_t data_bytes, const std::string& where,
                          Entry& entry) {
  const auto found = info.find("data_offsets");
  if (found == info.end() || !found->is_array() || found->size() != 2 ||
      !(*found)[0].is_number_unsigned() || !(*found)[1].is_number_unsigned())
    return malformed(where + ": data_offsets is not two counts [begin, end]");
  entry.begin = (*found)[0].get<uint64_t>();
  entry.end = (*found)[1].get<uint64_t>();
  const std::string range =
      "[" + std::to_string(entry.begin) + ", " + std::to_string(entry.end) + ")";
  if (entry.begin > entry.end)
    return malformed(where + ": data_offsets " + range + " run backwards");
  if (entry.end > data_bytes)
    return malformed(where + ": data_offsets " + range + " leave the data, which has " +
                     std::to_string(data_bytes) + " bytes; the file may be truncated");
  const std::optional<uint64_t> needed = tensor_bytes(entry.tensor.shape, entry.tensor.type);
  if (!needed) return malformed(where + ": shape overflows");
  if (*needed != entry.end - entry.begin)
    return malformed(where + ": data_offsets " + range + " hold " +
                     std::to_string(entry.end - entry.begin) + " bytes, but shape and dtype need " +
                     std::to_string(*needed));
  return {};
}

Result<Entry> read_entry(const std::string& name, const Json& info, uint64_t data_bytes,
                         const std::string& where) {
  const bool printable = std::none_of(name.begin(), name.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  });
  if (name.empty() || name.size() > kMaxNameBytes || !printable)
    return malformed(where + ": the name is empty, over " + std::to_string(kMaxNameBytes) +
                     " bytes or holds control characters");
  if (!info.is_object()) return malformed(where + ": its header entry is not an object");
  for (const auto& [field, value] : info.items())
    if (field != "dtype" && field != "shape" && field != "data_offsets")
      return unsupported(where + ": unknown field " + in_quotes(field));
  Result<SourceType> type = read_type(info, where);
  if (!type) return type.error();
  Result<std::vector<int64_t>> shape = read_shape(info, where);
  if (!shape) return shape.error();
  Entry entry;
  entry.tensor.name = name;
  entry.tensor.type = *type;
  entry.tensor.shape = *std::move(shape);
  if (Result<void> offsets = read_offsets(info, data_bytes, where, entry); !offsets)
    return offsets.error();
  return entry;
}

/// The tensors must tile the data: no gap, no overlap, nothing left over.
Result<void> check_tiling(const std::vector<Entry>& entries, uint64_t data_bytes,
                          const std::string& what) {
  std::vector<const Entry*> order;
  order.reserve(entries.size());
  for (const Entry& entry : entries) order.push_back(&entry);
  std::sort(order.begin(), order.end(),
            [](const Entry* a, const Entry* b) { return a->begin < b->begin; });
  uint64_t end = 0;
  for (const Entry* entry : order) {
    if (entry->begin != end)
      return malformed(what + ": tensor " + in_quotes(entry->tensor.name) +
                       " begins at data byte " + std::to_string(entry->begin) +
                       (entry->begin < end ? ", overlapping the tensor that ends at "
                                           : ", leaving a gap after the tensor that ends at ") +
                       std::to_string(end));
    end = entry->end;
  }
  if (end != data_bytes)
    return malformed(what + ": " + std::to_string(data_bytes - end) +
                     " bytes after the last tensor, which ends at data byte " +
                     std::to_string(end));
  return {};
}

Result<void> check_metadata(const Json& metadata, const std::string& what) {
  if (!metadata.is_object()) return malformed(what + ": __metadata__ is not an object");
  for (const auto& [key, value] : metadata.items())
    if (!value.is_string())
      return malformed(what + ": __metadata__ " + in_quotes(key) + " is not a string");
  return {};
}

}  // namespace

Result<std::vector<SourceTensor>> read_safetensors(std::span<const std::byte> file,
                                                   std::string_view what) {
  const std::string name(what);
  Result<std::string_view> text = header_text(file, name);
  if (!text) return text.error();
  Result<Json> header = parse_json(*text, name + " header");
  if (!header) return header.error();
  const std::span<const std::byte> data = file.subspan(8 + text->size());
  std::vector<Entry> entries;
  for (const auto& [key, info] : header->items()) {
    if (key == "__metadata__") {
      if (Result<void> checked = check_metadata(info, name); !checked) return checked.error();
      continue;
    }
    Result<Entry> entry = read_entry(key, info, data.size(), name + ": tensor " + in_quotes(key));
    if (!entry) return entry.error();
    entries.push_back(*std::move(entry));
  }
  if (entries.empty()) return malformed(name + ": holds no tensor");
  if (Result<void> tiled = check_tiling(entries, data.size(), name); !tiled) return tiled.error();
  std::vector<SourceTensor> tensors;
  tensors.reserve(entries.size());
  for (Entry& entry : entries) {
    entry.tensor.bytes = data.subspan(entry.begin, entry.end - entry.begin);
    tensors.push_back(std::move(entry.tensor));
  }
  return tensors;
}

}  // namespace sqf
