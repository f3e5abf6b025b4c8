#include "model/tokenizer_tables.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "format/layout.hpp"

namespace sqf {
namespace {

Error wrong(const std::string& what) {
  return malformed("TOKB: " + what);
}

constexpr uint64_t padded(uint64_t n_bytes) {
  return (n_bytes + 7) / 8 * 8;
}

/// Bytes of a section with these counts, none of which can make 64 bits overflow.
constexpr uint64_t section_bytes(uint64_t n_ids, uint64_t n_merges, uint64_t pool_bytes,
                                 uint64_t rest_bytes) {
  return sizeof(TablesHeader) + 2 * padded(4 * (n_ids + 1)) + 3 * padded(4 * n_merges) +
         padded(pool_bytes) + padded(rest_bytes);
}

void append(std::string& out, const void* bytes, size_t n_bytes) {
  if (n_bytes > 0) out.append(static_cast<const char*>(bytes), n_bytes);
  out.resize(padded(out.size()));
}

/// Hands out the arrays one after the other; the caller has checked that they are there.
class Cursor {
 public:
  explicit Cursor(std::span<const std::byte> section) : section_(section) {}

  std::span<const uint32_t> numbers(uint64_t count) {
    return {reinterpret_cast<const uint32_t*>(take(4 * count)), count};
  }
  std::string_view text(uint64_t count) {
    return {reinterpret_cast<const char*>(take(count)), count};
  }
  /// Whether all padding passed was zero.
  bool clean() const { return clean_; }

 private:
  const std::byte* take(uint64_t n_bytes) {
    const std::byte* begin = section_.data() + at_;
    for (uint64_t i = n_bytes; i < padded(n_bytes); ++i) clean_ = clean_ && begin[i] == std::byte{};
    at_ += padded(n_bytes);
    return begin;
  }

  std::span<const std::byte> section_;
  uint64_t at_ = sizeof(TablesHeader);
  bool clean_ = true;
};

Result<TablesHeader> read_header(std::span<const std::byte> section) {
  TablesHeader header;
  if (reinterpret_cast<uintptr_t>(section.data()) % alignof(uint32_t) != 0)
    return usage_error("TOKB does not start at a multiple of 4 bytes");
  if (section.size() < sizeof header)
    return wrong(std::to_string(section.size()) + " bytes are no header");
  std::memcpy(&header, section.data(), sizeof header);
  if (header.version != kTablesVersion)
    return unsupported("TOKB: version " + std::to_string(header.version) + ", not " +
                       std::to_string(kTablesVersion));
  if (std::ranges::any_of(header.reserved, [](uint32_t field) { return field != 0; }))
    return wrong("reserved bytes of the header are not zero");
  if (header.id_count > kMaxTokenId + 1)
    return wrong(std::to_string(header.id_count) + " ids are more than " +
                 std::to_string(kMaxTokenId + 1));
  const uint64_t expected =
      section_bytes(header.id_count, header.merge_count, header.pool_bytes, header.rest_bytes);
  if (section.size() != expected)
    return wrong(std::to_string(section.size()) + " bytes, but the counts make " +
                 std::to_string(expected));
  return header;
}

}  // namespace

Result<std::string> write_tables(const TableArrays& arrays) {
  const auto& [vocabulary, merges, rest] = arrays;
  const uint64_t size = section_bytes(vocabulary.begin.size() - 1, merges.right.size(),
                                      vocabulary.pool.size(), rest.size());
  if (size > kMaxTokenizerBytes)
    return unsupported("tokenizer.json: its tables would take " + std::to_string(size) +
                       " bytes, more than " + std::to_string(kMaxTokenizerBytes));
  TablesHeader header = {};
  header.version = kTablesVersion;
  header.id_count = static_cast<uint32_t>(vocabulary.begin.size() - 1);
  header.merge_count = static_cast<uint32_t>(merges.right.size());
  header.pool_bytes = static_cast<uint32_t>(vocabulary.pool.size());
  header.rest_bytes = static_cast<uint32_t>(rest.size());
  header.empty_id = vocabulary.empty_id;
  std::string out;
  out.reserve(size);
  append(out, &header, sizeof header);
  for (const auto& numbers :
       {vocabulary.begin, merges.first, merges.right, merges.rank, merges.merged})
    append(out, numbers.data(), numbers.size_bytes());
  append(out, vocabulary.pool.data(), vocabulary.pool.size());
  append(out, rest.data(), rest.size());
  return out;
}

Result<TokenizerTables> read_tables(std::span<const std::byte> section) {
  auto header = read_header(section);
  if (!header) return header.error();
  Cursor cursor(section);
  const uint64_t n_ids = header->id_count, n_merges = header->merge_count;
  VocabularyTable tokens;
  MergeArrays merges;
  tokens.begin = cursor.numbers(n_ids + 1);
  merges.first = cursor.numbers(n_ids + 1);
  merges.right = cursor.numbers(n_merges);
  merges.rank = cursor.numbers(n_merges);
  merges.merged = cursor.numbers(n_merges);
  tokens.pool = cursor.text(header->pool_bytes);
  tokens.empty_id = header->empty_id;
  const std::string_view rest = cursor.text(header->rest_bytes);
  if (!cursor.clean()) return wrong("padding is not zero");
  auto vocabulary = Vocabulary::create(tokens);
  if (!vocabulary) return wrong(vocabulary.error().message);
  auto table = MergeTable::create(merges, *vocabulary);
  if (!table) return wrong(table.error().message);
  return TokenizerTables{*std::move(vocabulary), *table, rest};
}

}  // namespace sqf
