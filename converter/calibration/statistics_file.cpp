#include "converter/calibration/statistics_file.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <tuple>
#include <utility>

#include "format/hash.hpp"
#include "format/pending_file.hpp"
#include "format/scalar.hpp"
#include "format/text.hpp"
#include "model/json_fields.hpp"

namespace sqf {
namespace {

constexpr std::string_view kMagic = "SQFCALIB";
constexpr uint32_t kVersion = 1;
constexpr size_t kHead = 24, kHash = 8;
constexpr size_t kChannel = sizeof(float) + 2 * sizeof(double);  // bytes of one
constexpr size_t kSample = 4096;  // bytes of a tensor that its hash looks at

template <typename T>
void append(std::string& out, const T* values, size_t count) {
  out.append(reinterpret_cast<const char*>(values), count * sizeof(T));
}

/// Type, shape and first bytes of a tensor: enough to tell two trainings of one architecture
/// apart without reading either.
std::string tensor_mark(const SourceTensor& tensor) {
  Hasher hasher;
  const auto type = static_cast<uint64_t>(tensor.type);
  hasher.update(std::as_bytes(std::span(&type, 1)));
  hasher.update(std::as_bytes(std::span(tensor.shape)));
  hasher.update(tensor.bytes.first(std::min(tensor.bytes.size(), kSample)));
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hasher.digest()));
  return text;
}

Json tensor_marks(const SourceModel& source) {
  Json marks = Json::object();
  for (const SourceTensor& tensor : source.tensors) marks[tensor.name] = tensor_mark(tensor);
  return marks;
}

/// The first value in which two objects differ, by its path; empty where they are equal.
std::string difference(const Json& their_tree, const Json& our_tree, const std::string& what) {
  const Json theirs = their_tree.flatten(), ours = our_tree.flatten();
  // A path begins with a slash; that of an empty tree is empty.
  const auto named = [&](const std::string& path) {
    return what + in_quotes(path.empty() ? "" : path.substr(1));
  };
  for (const auto& [path, value] : ours.items()) {
    const auto other = theirs.find(path);
    if (other == theirs.end()) return named(path) + " is not in them";
    if (*other != value)
      return named(path) + " is " + other->dump().substr(0, 40) + " in them, here " +
             value.dump().substr(0, 40);
  }
  for (const auto& [path, value] : theirs.items())
    if (!ours.contains(path)) return named(path) + " is in them alone";
  return "";
}

/// Checks everything outside the JSON; the JSON's text.
Result<std::string_view> open_head(std::span<const std::byte> bytes, const std::string& where) {
  if (bytes.size() < kHead + kHash || std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) != 0)
    return malformed(where + " is no file of calibration statistics");
  const auto version = load<uint32_t>(bytes.data() + 8);
  const auto size = load<uint64_t>(bytes.data() + 16);
  if (size != bytes.size())
    return malformed(where + " says it has " + std::to_string(size) + " bytes, and has " +
                     std::to_string(bytes.size()));
  const size_t end = bytes.size() - kHash;
  if (hash_bytes(bytes.first(end)) != load<uint64_t>(bytes.data() + end))
    return malformed(where + " is damaged: its hash is another");
  if (version != kVersion)
    return unsupported(where + " has version " + std::to_string(version) + ", this program reads " +
                       std::to_string(kVersion));
  const auto text = load<uint32_t>(bytes.data() + 12);
  if (text > end - kHead) return malformed(where + ": its JSON reaches past its end");
  return std::string_view(reinterpret_cast<const char*>(bytes.data()) + kHead, text);
}

/// Numbers of channels, each a size: finite, not negative.
template <typename T>
bool take(const std::byte*& at, int64_t columns, std::vector<T>* out) {
  out->resize(static_cast<size_t>(columns));
  std::memcpy(out->data(), at, out->size() * sizeof(T));
  at += out->size() * sizeof(T);
  return std::ranges::all_of(*out, [](T v) { return std::isfinite(v) && v >= 0; });
}

Result<void> read_words(const Json& json, Statistics* out) {
  const Field root = {&json, "statistics"};
  const auto text = object_at(root, "text");
  if (!text) return text.error();
  auto read = text_from_json(*text->json);
  if (!read) return read.error();
  out->text = std::move(*read);
  for (const auto& [key, to] : {std::pair{"windows", &out->windows}, {"length", &out->length}}) {
    const auto number = integer_at(root, key);
    if (!number) return number.error();
    if (*number < 1 || *number > (int64_t{1} << 40))
      return malformed(std::string(key) + " is " + std::to_string(*number));
    *to = *number;
  }
  return {};
}

}  // namespace

Json calibration_json(const Statistics& s) {
  return {{"text", text_to_json(s.text)}, {"windows", s.windows}, {"length", s.length}};
}

Result<void> save_statistics(const Statistics& statistics, const SourceModel& source,
                             const ModelDescription& description, const std::filesystem::path& path,
                             bool replace) {
  Json json = calibration_json(statistics);
  json["model"] = description_to_json(description);
  json["tensors"] = tensor_marks(source);
  const std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  std::string bytes(kMagic);
  const uint32_t words[2] = {kVersion, static_cast<uint32_t>(text.size())};
  append(bytes, words, 2);
  uint64_t size = kHead + text.size() + kHash;
  for (const InputStatistics& input : statistics.inputs) size += input.abs_max.size() * kChannel;
  append(bytes, &size, 1);
  bytes += text;
  for (const InputStatistics& input : statistics.inputs) {
    append(bytes, input.abs_max.data(), input.abs_max.size());
    append(bytes, input.mean_abs.data(), input.mean_abs.size());
    append(bytes, input.mean_square.data(), input.mean_square.size());
  }
  const uint64_t hash = hash_bytes(std::as_bytes(std::span(bytes)));
  append(bytes, &hash, 1);

  auto file = PendingFile::create(path, bytes.size(), replace);
  if (!file) return file.error();
  if (auto r = file->write(std::as_bytes(std::span(bytes)), 0); !r) return r.error();
  if (auto r = file->sync(); !r) return r.error();
  return file->put_in_place();
}

Result<Statistics> load_statistics(const std::filesystem::path& path, const SourceModel& source,
                                   const ModelDescription& description) {
  auto file = Mapping::open(path);
  if (!file) return file.error();
  const std::string where = path.string();
  const auto bytes = file->bytes();
  const auto text = open_head(bytes, where);
  if (!text) return text.error();
  auto json = parse_json(*text, where);
  if (!json) return json.error();
  if (!json->is_object()) return malformed(where + ": its JSON is no object");
  for (const auto& [key, ours, what] : {std::tuple{"model", description_to_json(description), ""},
                                        {"tensors", tensor_marks(source), "tensor "}}) {
    const Field root = {&*json, where};
    const auto theirs = object_at(root, key);
    if (!theirs) return theirs.error();
    if (const std::string other = difference(*theirs->json, ours, what); !other.empty())
      return usage_error(where + ": statistics of another model: " + other);
  }
  Statistics out;
  if (auto r = read_words(*json, &out); !r) return r.error();
  const std::vector<int64_t> columns = input_columns(description);
  uint64_t channels = 0;
  for (const int64_t count : columns) channels += static_cast<uint64_t>(count);
  if (bytes.size() - kHead - text->size() - kHash != channels * kChannel)
    return malformed(where + " has not the " + std::to_string(channels) + " channels of its model");
  const std::byte* at = bytes.data() + kHead + text->size();
  for (const int64_t count : columns) {
    InputStatistics& input = out.inputs.emplace_back();
    bool good = take(at, count, &input.abs_max);
    good = take(at, count, &input.mean_abs) && good;
    if (!take(at, count, &input.mean_square) || !good)
      return malformed(where + ": input " + std::to_string(out.inputs.size() - 1) +
                       " has a number that is negative or not finite");
  }
  return out;
}

}  // namespace sqf
