#include "converter/gguf.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "converter/gguf_blocks.hpp"
#include "format/text.hpp"

namespace sqf {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are read as they lie");

constexpr uint64_t kMaxStringBytes = 1 << 20;
constexpr uint64_t kMaxKeyBytes = 1024;
constexpr uint64_t kMaxArrayCount = 1 << 24;
constexpr uint32_t kMaxGgufRank = 4;
constexpr uint64_t kDefaultAlignment = 32;

/// Reads forward and never past the end. After the first failure every read gives zero or empty
/// and failed() says so: callers check at the end of a record.
class Cursor {
 public:
  Cursor(std::span<const std::byte> bytes, std::string_view what) : bytes_(bytes), what_(what) {}

  uint64_t position() const { return position_; }
  uint64_t remaining() const { return bytes_.size() - position_; }
  bool failed() const { return failed_; }
  const Error& error() const { return error_; }

  std::span<const std::byte> take(uint64_t count, std::string_view of) {
    if (failed_) return {};
    if (count > remaining()) {
      fail(malformed("truncated: " + std::string(of) + " needs " + std::to_string(count) +
                     " bytes, " + std::to_string(remaining()) + " remain"));
      return {};
    }
    position_ += count;
    return bytes_.subspan(position_ - count, count);
  }

  template <typename T>
  T number(std::string_view of) {
    T value = 0;
    const std::span<const std::byte> from = take(sizeof(T), of);
    if (!failed_) std::memcpy(&value, from.data(), sizeof(T));
    return value;
  }

  std::string_view string(uint64_t limit, std::string_view of) {
    const uint64_t length = number<uint64_t>(of);
    if (!failed_ && length > limit)
      fail(malformed(std::string(of) + " is " + std::to_string(length) +
                     " bytes long, over the limit of " + std::to_string(limit)));
    const std::span<const std::byte> text = take(length, of);
    return {reinterpret_cast<const char*>(text.data()), text.size()};
  }

  /// Refuses a count that cannot fit into what remains, `least` bytes each.
  void check_count(uint64_t count, uint64_t least, std::string_view of) {
    if (!failed_ && count > remaining() / least)
      fail(malformed(std::to_string(count) + " " + std::string(of) + " cannot fit into the " +
                     std::to_string(remaining()) + " bytes that remain"));
  }

  void fail(Error error) {
    if (failed_) return;
    failed_ = true;
    error.message = what_ + ": " + error.message + " (at byte " + std::to_string(position_) + ")";
    error_ = std::move(error);
  }

 private:
  std::span<const std::byte> bytes_;
  uint64_t position_ = 0;
  std::string what_;
  bool failed_ = false;
  Error error_;
};

/// Bytes of one number of this type; 0 for strings and arrays.
uint64_t number_bytes(GgufType type) {
  constexpr uint8_t kSizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return kSizes[static_cast<size_t>(type)];
}

std::string_view tensor_type_name(uint32_t type) {
  constexpr std::string_view kNames[] = {
      "F32",     "F16",   "Q4_0",   "Q4_1",  "",      "",       "Q5_0", "Q5_1",    "Q8_0",
      "Q8_1",    "Q2_K",  "Q3_K",   "Q4_K",  "Q5_K",  "Q6_K",   "Q8_K", "IQ2_XXS", "IQ2_XS",
      "IQ3_XXS", "IQ1_S", "IQ4_NL", "IQ3_S", "IQ2_S", "IQ4_XS", "I8",   "I16",     "I32",
      "I64",     "F64",   "IQ1_M",  "BF16",  "",      "",       "",     "TQ1_0",   "TQ2_0",
      "",        "",      "",       "MXFP4", "NVFP4"};
  return type < std::size(kNames) ? kNames[type] : "";
}

std::optional<SourceType> source_type(uint32_t number) {
  if (number == 0) return SourceType::f32;
  if (number == 1) return SourceType::f16;
  if (number == 30) return SourceType::bf16;
  for (int i = kPlainSourceTypes; i < kSourceTypes; i++)
    if (block_format(static_cast<SourceType>(i)).number == number)
      return static_cast<SourceType>(i);
  return std::nullopt;
}

GgufType read_value_type(Cursor& in, const std::string& of) {
  const uint32_t number = in.number<uint32_t>(of);
  if (number > static_cast<uint32_t>(GgufType::f64))
    in.fail(malformed(of + " has unknown value type " + std::to_string(number)));
  return in.failed() ? GgufType::u8 : static_cast<GgufType>(number);
}

GgufValue read_value(Cursor& in, std::string_view key) {
  const std::string of = "value of " + in_quotes(key);
  GgufValue value;
  value.type = read_value_type(in, of);
  value.count = 1;
  if (value.type == GgufType::array) {
    value.is_array = true;
    value.type = read_value_type(in, of);
    if (value.type == GgufType::array) in.fail(unsupported(of + " is an array of arrays"));
    value.count = in.number<uint64_t>(of);
    if (value.count > kMaxArrayCount)
      in.fail(malformed(of + " has " + std::to_string(value.count) +
                        " elements, over the limit of " + std::to_string(kMaxArrayCount)));
  }
  if (in.failed()) return value;
  if (value.type == GgufType::string) {
    in.check_count(value.count, 8, "strings in " + of);
    if (in.failed()) return value;
    value.strings.reserve(value.count);
    for (uint64_t i = 0; i < value.count && !in.failed(); ++i)
      value.strings.push_back(in.string(kMaxStringBytes, of));
    return value;
  }
  value.numbers = in.take(value.count * number_bytes(value.type), of);
  if (value.type == GgufType::boolean)
    for (const std::byte byte : value.numbers)
      if (byte > std::byte{1})
        in.fail(malformed(of + " is a boolean of value " + std::to_string(static_cast<int>(byte))));
  return value;
}

void read_values(Cursor& in, uint64_t count, GgufFile& out) {
  in.check_count(count, 8 + 4 + 1, "metadata values");
  for (uint64_t i = 0; i < count && !in.failed(); ++i) {
    const std::string_view key = in.string(kMaxKeyBytes, "key " + std::to_string(i));
    if (!in.failed() && (key.empty() || !is_utf8(key)))
      in.fail(malformed("key " + std::to_string(i) + " is " +
                        (key.empty() ? "empty" : "not UTF-8: " + in_quotes(key))));
    GgufValue value = read_value(in, key);
    if (in.failed()) return;
    if (!out.values.emplace(key, std::move(value)).second)
      in.fail(malformed("key " + in_quotes(key) + " occurs twice"));
  }
}

/// Where a tensor's bytes begin, counted from the data section.
struct Placed {
  GgufTensor tensor;
  uint64_t offset = 0;
  uint64_t size = 0;
};

/// Size in bytes; fails the cursor where the shape overflows or does not fill whole blocks.
uint64_t tensor_bytes(Cursor& in, const GgufTensor& tensor, const std::string& of) {
  const int64_t block = block_columns(tensor.type);
  if (tensor.shape.back() % block != 0)
    in.fail(malformed(of + " has rows of " + std::to_string(tensor.shape.back()) +
                      " elements, not a multiple of " + std::to_string(block)));
  int64_t total = block_bytes(tensor.type);
  bool overflow = __builtin_mul_overflow(total, tensor.shape.back() / block, &total);
  for (size_t i = 0; i + 1 < tensor.shape.size(); ++i)
    overflow |= __builtin_mul_overflow(total, tensor.shape[i], &total);
  if (overflow) in.fail(malformed(of + " has a shape that overflows"));
  return in.failed() ? 0 : static_cast<uint64_t>(total);
}

Placed read_tensor(Cursor& in, uint64_t index) {
  Placed placed;
  GgufTensor& tensor = placed.tensor;
  const std::string number = "tensor " + std::to_string(index);
  tensor.name = in.string(kMaxKeyBytes, "name of " + number);
  if (!in.failed() && (tensor.name.empty() || !is_utf8(tensor.name)))
    in.fail(malformed("name of " + number + " is " +
                      (tensor.name.empty() ? "empty" : "not UTF-8: " + in_quotes(tensor.name))));
  const std::string of = "tensor " + in_quotes(tensor.name);
  const uint32_t rank = in.number<uint32_t>(of);
  if (!in.failed() && (rank == 0 || rank > kMaxGgufRank))
    in.fail(malformed(of + " has rank " + std::to_string(rank) + "; 1 to 4 is expected"));
  for (uint32_t i = 0; i < rank && !in.failed(); ++i) {
    const uint64_t dimension = in.number<uint64_t>(of);
    if (!in.failed() &&
        (dimension == 0 || dimension > uint64_t{std::numeric_limits<int64_t>::max()}))
      in.fail(malformed(of + " has dimension " + std::to_string(dimension)));
    tensor.shape.insert(tensor.shape.begin(), static_cast<int64_t>(dimension));
  }
  const uint32_t type = in.number<uint32_t>(of);
  placed.offset = in.number<uint64_t>(of);
  if (in.failed()) return placed;
  if (const std::optional<SourceType> known = source_type(type)) {
    tensor.type = *known;
    placed.size = tensor_bytes(in, tensor, of);
  } else if (const std::string_view name = tensor_type_name(type); !name.empty()) {
    in.fail(unsupported(of + " has type " + std::string(name) +
                        "; F32, F16, BF16, Q4_0 to Q8_0, Q2_K to Q6_K, IQ4_NL and IQ4_XS can be "
                        "converted"));
  } else {
    in.fail(unsupported(of + " has unknown type " + std::to_string(type)));
  }
  return placed;
}

/// Names distinct, found by sorting: no hash for an attacker to fill.
Result<void> check_names(const std::vector<Placed>& tensors, const std::string& what) {
  std::vector<std::string_view> names;
  names.reserve(tensors.size());
  for (const Placed& placed : tensors) names.push_back(placed.tensor.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end())
    return malformed(what + ": tensor " + in_quotes(*twice) + " occurs twice");
  return {};
}

/// Aligned, inside the data, disjoint.
Result<void> check_places(const std::vector<Placed>& tensors, uint64_t alignment,
                          uint64_t data_bytes, const std::string& what) {
  std::vector<const Placed*> order;
  for (const Placed& placed : tensors) {
    const std::string of = what + ": tensor " + in_quotes(placed.tensor.name);
    if (placed.offset % alignment != 0)
      return malformed(of + " at offset " + std::to_string(placed.offset) +
                       ", not a multiple of the alignment " + std::to_string(alignment));
    if (placed.offset > data_bytes || placed.size > data_bytes - placed.offset)
      return malformed(of + " takes " + std::to_string(placed.size) + " bytes at offset " +
                       std::to_string(placed.offset) + ", but the data has " +
                       std::to_string(data_bytes) + "; the file may be truncated");
    order.push_back(&placed);
  }
  std::sort(order.begin(), order.end(),
            [](const Placed* a, const Placed* b) { return a->offset < b->offset; });
  for (size_t i = 1; i < order.size(); ++i)
    if (order[i]->offset - order[i - 1]->offset < order[i - 1]->size)
      return malformed(what + ": tensor " + in_quotes(order[i]->tensor.name) + " at offset " +
                       std::to_string(order[i]->offset) + " overlaps " +
                       in_quotes(order[i - 1]->tensor.name) + " at " +
                       std::to_string(order[i - 1]->offset));
  return {};
}

Result<uint64_t> read_alignment(const GgufFile& file, const std::string& what) {
  const GgufValue* value = file.find("general.alignment");
  if (value == nullptr) return kDefaultAlignment;
  const std::optional<int64_t> alignment = value->is_array ? std::nullopt : gguf_integer(*value, 0);
  if (!alignment || *alignment < 8 || !std::has_single_bit(static_cast<uint64_t>(*alignment)))
    return malformed(what + ": general.alignment is " +
                     (alignment ? std::to_string(*alignment) : "not an integer") +
                     "; a power of two of at least 8 is expected");
  return static_cast<uint64_t>(*alignment);
}

Result<void> check_version(uint32_t version, const std::string& what) {
  if (version == 3) return {};
  if ((version & 0xffffu) == 0 && version != 0)
    return unsupported(what + ": a big-endian GGUF file; convert it to little-endian first");
  return unsupported(what + ": GGUF version " + std::to_string(version) + "; 3 is expected");
}

Result<void> check_not_split(const GgufFile& file, const std::string& what) {
  const GgufValue* value = file.find("split.count");
  const std::optional<int64_t> parts = value ? gguf_integer(*value, 0) : std::nullopt;
  if (parts && *parts > 1)
    return unsupported(what + ": one of " + std::to_string(*parts) +
                       " parts of a split GGUF; merge them first");
  return {};
}

template <typename T>
T element(const GgufValue& value, uint64_t index) {
  T number;
  std::memcpy(&number, value.numbers.data() + index * sizeof(T), sizeof(T));
  return number;
}

}  // namespace

std::optional<int64_t> gguf_integer(const GgufValue& value, uint64_t index) {
  if (index >= value.count) return std::nullopt;
  switch (value.type) {
    case GgufType::u8:
    case GgufType::boolean:
      return element<uint8_t>(value, index);
    case GgufType::i8:
      return element<int8_t>(value, index);
    case GgufType::u16:
      return element<uint16_t>(value, index);
    case GgufType::i16:
      return element<int16_t>(value, index);
    case GgufType::u32:
      return element<uint32_t>(value, index);
    case GgufType::i32:
      return element<int32_t>(value, index);
    case GgufType::i64:
      return element<int64_t>(value, index);
    case GgufType::u64: {
      const uint64_t number = element<uint64_t>(value, index);
      if (number > uint64_t{std::numeric_limits<int64_t>::max()}) return std::nullopt;
      return static_cast<int64_t>(number);
    }
    default:
      return std::nullopt;
  }
}

std::optional<double> gguf_number(const GgufValue& value, uint64_t index) {
  if (index >= value.count) return std::nullopt;
  if (value.type == GgufType::f32) return double{element<float>(value, index)};
  if (value.type == GgufType::f64) return element<double>(value, index);
  if (const std::optional<int64_t> integer = gguf_integer(value, index))
    return static_cast<double>(*integer);
  return std::nullopt;
}

const GgufValue* GgufFile::find(std::string_view key) const {
  const auto found = values.find(key);
  return found == values.end() ? nullptr : &found->second;
}

Result<GgufFile> read_gguf(std::span<const std::byte> file, std::string_view what) {
  const std::string name(what);
  Cursor in(file, name);
  const std::span<const std::byte> magic = in.take(4, "the magic");
  if (!in.failed() && std::memcmp(magic.data(), "GGUF", 4) != 0)
    return malformed(name + ": not a GGUF file");
  const uint32_t version = in.number<uint32_t>("the version");
  if (in.failed()) return in.error();
  if (Result<void> known = check_version(version, name); !known) return known.error();
  const uint64_t tensor_count = in.number<uint64_t>("the tensor count");
  const uint64_t value_count = in.number<uint64_t>("the metadata count");
  GgufFile out;
  read_values(in, value_count, out);
  in.check_count(tensor_count, 8 + 4 + 8 + 4 + 8, "tensors");
  std::vector<Placed> tensors;
  for (uint64_t i = 0; i < tensor_count && !in.failed(); ++i) tensors.push_back(read_tensor(in, i));
  if (in.failed()) return in.error();
  if (Result<void> whole = check_not_split(out, name); !whole) return whole.error();
  if (tensors.empty()) return malformed(name + ": holds no tensor");
  if (Result<void> distinct = check_names(tensors, name); !distinct) return distinct.error();
  Result<uint64_t> alignment = read_alignment(out, name);
  if (!alignment) return alignment.error();
  const uint64_t padding = (*alignment - in.position() % *alignment) % *alignment;
  const std::span<const std::byte> data =
      file.subspan(in.position() + std::min(padding, in.remaining()));
  if (Result<void> placed = check_places(tensors, *alignment, data.size(), name); !placed)
    return placed.error();
  for (Placed& placed : tensors) {
    placed.tensor.bytes = data.subspan(placed.offset, placed.size);
    out.tensors.push_back(std::move(placed.tensor));
  }
  return out;
}

}  // namespace sqf
