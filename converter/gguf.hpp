#pragma once
// The GGUF v3 container: metadata and tensor directory as views into the file, nothing said yet
// about what they mean. Refuses versions 1 and 2, big-endian and split files, duplicate keys and
// tensor names, nested arrays, element types other than those of SourceType (by name), and every
// count, length or offset that the file cannot hold.

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "converter/source.hpp"
#include "format/result.hpp"

namespace sqf {

/// Numbers as in the file.
enum class GgufType : uint32_t {
  u8,
  i8,
  u16,
  i16,
  u32,
  i32,
  f32,
  boolean,
  string,
  array,
  u64,
  i64,
  f64,
};

/// A scalar is an array of one that says so. Strings are as in the file, perhaps not UTF-8.
struct GgufValue {
  GgufType type = GgufType::u8;  ///< of the element; never `array`
  bool is_array = false;
  uint64_t count = 0;
  std::span<const std::byte> numbers;     ///< little-endian, one after another
  std::vector<std::string_view> strings;  ///< for type string
};

/// Element `index` where the value holds integers (or booleans) that fit; else nothing.
std::optional<int64_t> gguf_integer(const GgufValue& value, uint64_t index);
/// Element `index` where the value holds numbers of any kind; else nothing.
std::optional<double> gguf_number(const GgufValue& value, uint64_t index);

struct GgufTensor {
  std::string name;
  SourceType type = SourceType::f32;
  std::vector<int64_t> shape;  ///< outermost first: the file's order turned round
  std::span<const std::byte> bytes;
};

struct GgufFile {
  std::map<std::string, GgufValue, std::less<>> values;
  std::vector<GgufTensor> tensors;  ///< as in the file; names distinct, bytes disjoint

  const GgufValue* find(std::string_view key) const;
};

/// Reads the container mapped at `file`; views into it. `what` names the file in errors. Safe on
/// hostile input; memory stays proportional to the file's head.
Result<GgufFile> read_gguf(std::span<const std::byte> file, std::string_view what);

}  // namespace sqf
