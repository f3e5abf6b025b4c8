#include "format/head.hpp"

#include <algorithm>
#include <cstring>

#include "format/hash.hpp"
#include "format/rules.hpp"
#include "format/text.hpp"

namespace sqf {
namespace {

constexpr SectionKind kKnownKinds[] = {
    SectionKind::meta, SectionKind::tdir, SectionKind::encv, SectionKind::tokn, SectionKind::tokb,
    SectionKind::tmpl, SectionKind::calb, SectionKind::licn, SectionKind::chks, SectionKind::data};

std::string hex(uint64_t value) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text = "0x";
  for (int shift = 60; shift >= 0; shift -= 4) text += kDigits[(value >> shift) & 15];
  return text;
}

template <typename T>
bool starts_with(std::span<const std::byte> file, const T& text) {
  return file.size() >= sizeof(T) - 1 && std::memcmp(file.data(), text, sizeof(T) - 1) == 0;
}

/// The name of what a file is instead, so that the message helps.
const char* foreign_name(std::span<const std::byte> file) {
  if (starts_with(file, "GGUF")) return "a GGUF file; convert it with sqconv";
  if (starts_with(file, "PK\x03\x04")) return "a ZIP archive (or a PyTorch checkpoint)";
  if (starts_with(file, "version https://git-lfs")) return "a Git LFS pointer, not the file itself";
  if (starts_with(file, "<")) return "an HTML or XML page";
  if (starts_with(file, "\x1f\x8b")) return "a gzip archive";
  if (starts_with(file, "\x28\xb5\x2f\xfd")) return "a zstd archive; decompress it first";
  if (starts_with(file, "{")) return "JSON";
  if (file.size() > 8 && file[8] == std::byte{'{'})
    return "a safetensors file; convert it with sqconv";
  return "something else";
}

Result<void> check_magic(std::span<const std::byte> file) {
  const std::array<uint8_t, 8> stripped = {0x09, 'S', 'Q', 'F', '\r', '\n', 0x1a, '\n'};
  if (file.size() >= 4 && std::memcmp(file.data(), kMagic.data(), 4) != 0 &&
      std::memcmp(file.data(), stripped.data(), 4) != 0)
    return broken(Rule::foreign_format, std::string("this is ") + foreign_name(file));
  if (file.size() < sizeof(Header))
    return broken(Rule::too_short, "it has " + std::to_string(file.size()) + " bytes");
  if (std::memcmp(file.data(), kMagic.data(), kMagic.size()) != 0)
    return broken(Rule::mangled_magic, "it went through a text mode or a 7-bit channel");
  return {};
}

Result<void> check_header(const Header& h, std::span<const std::byte> file) {
  const auto field = [](const std::string& what, uint64_t found) {
    return broken(Rule::header_field, what + " is " + std::to_string(found));
  };
  if (h.complete != kComplete) return broken(Rule::incomplete, "the marker at byte 240 is missing");
  const uint64_t hash = hash_bytes(file.first(sizeof(Header) - 8));
  if (hash != h.header_hash)
    return broken(Rule::header_hash,
                  "found " + hex(hash) + ", the header states " + hex(h.header_hash));
  if (h.major != kMajor)
    return broken(Rule::major_version, "version " + std::to_string(h.major) + "." +
                                           std::to_string(h.minor) + ", this reader knows " +
                                           std::to_string(kMajor));
  if (const uint64_t unknown = h.feature_incompat & ~kKnownIncompat; unknown != 0)
    return broken(Rule::unknown_incompat,
                  unknown & kIncompatZstd ? "zstd sections" : "bits " + hex(unknown));
  if (h.header_size != sizeof(Header)) return field("header_size", h.header_size);
  if (h.section_table_offset != sizeof(Header))
    return field("section_table_offset", h.section_table_offset);
  if (h.section_entry_size != sizeof(SectionRecord))
    return field("section_entry_size", h.section_entry_size);
  if (h.comp_align_log2 < 6 || h.comp_align_log2 > 12)
    return field("comp_align_log2", h.comp_align_log2);
  if (h.data_align_log2 < 12 || h.data_align_log2 > 21)
    return field("data_align_log2", h.data_align_log2);
  if (h.chunk_log2 < 16 || h.chunk_log2 > 24) return field("chunk_log2", h.chunk_log2);
  if (h.hash_kind != HashKind::xxh3_64)
    return field("hash_kind", static_cast<uint64_t>(h.hash_kind));
  const auto zero = [](uint8_t byte) { return byte == 0; };
  if (!std::all_of(h.reserved_a.begin(), h.reserved_a.end(), zero) ||
      !std::all_of(h.reserved_b.begin(), h.reserved_b.end(), zero))
    return broken(Rule::header_reserved, "a byte in 72..95 or 112..239 is not");
  if (h.file_size != file.size())
    return broken(Rule::file_size, "it has " + std::to_string(file.size()) +
                                       " bytes, the header states " + std::to_string(h.file_size) +
                                       (file.size() < h.file_size ? "; it was cut short" : ""));
  if (h.file_size > kMaxFileBytes) return field("file_size", h.file_size);
  if (h.section_count < 3 || h.section_count > kMaxSections)
    return broken(Rule::section_count, std::to_string(h.section_count));
  if (file.size() < kFirstSection)
    return broken(Rule::section_place, "the file ends before byte 4096");
  return {};
}

uint64_t size_limit(SectionKind kind) {
  switch (kind) {
    case SectionKind::meta:
    case SectionKind::calb:
      return kMaxMetaBytes;
    case SectionKind::tokn:
    case SectionKind::tokb:
      return kMaxTokenizerBytes;
    case SectionKind::tmpl:
      return kMaxTextBytes;
    case SectionKind::licn:
      return 16 * kMaxTextBytes;
    case SectionKind::data:
      return kMaxFileBytes;
    default:
      return kMaxHeadBytes;
  }
}

Result<void> check_section(const SectionRecord& s) {
  const std::string name = section_name(s.kind);
  if (s.reserved != 0 || s.ordinal != 0)
    return broken(Rule::section_flags, name + ": reserved fields are not zero");
  if ((s.flags & ~uint32_t{section_critical | section_compressed}) != 0)
    return broken(Rule::section_flags, name + ": flags " + hex(s.flags));
  if ((s.flags & section_compressed) != 0 || s.codec != 0)
    return broken(Rule::section_flags, name + ": compressed, but the header does not say zstd");
  if (s.raw_size != s.stored_size || s.raw_hash != s.stored_hash)
    return broken(Rule::section_size, name + ": raw and stored differ without compression");
  if (s.stored_size == 0 || s.stored_size > size_limit(s.kind))
    return broken(Rule::section_size, name + ": " + std::to_string(s.stored_size) +
                                          " bytes, limit " + std::to_string(size_limit(s.kind)));
  const bool known =
      std::find(std::begin(kKnownKinds), std::end(kKnownKinds), s.kind) != std::end(kKnownKinds);
  if (!known && (s.flags & section_critical) != 0)
    return broken(Rule::section_kind, name + ": unknown, and the file says it matters");
  return {};
}

Result<void> check_sections(const Head& head) {
  const auto& sections = head.sections;
  uint64_t end = kFirstSection;
  for (size_t i = 0; i < sections.size(); i++) {
    const SectionRecord& s = sections[i];
    if (auto r = check_section(s); !r) return r;
    for (size_t j = 0; j < i; j++)
      if (sections[j].kind == s.kind)
        return broken(Rule::section_kind, section_name(s.kind) + " appears twice");
    const uint64_t start = section_start(head.header, s.kind, end);
    if (s.offset != start ||
        s.stored_size > head.header.file_size - std::min(start, head.header.file_size))
      return broken(Rule::section_place, section_name(s.kind) + " at " + std::to_string(s.offset) +
                                             " with " + std::to_string(s.stored_size) +
                                             " bytes, expected at " + std::to_string(start));
    if ((s.kind == SectionKind::data) != (i + 1 == sections.size()))
      return broken(Rule::section_place, "DATA is not the last section");
    end = start + s.stored_size;
    if (s.kind != SectionKind::data && end > kMaxHeadBytes)
      return broken(Rule::section_size, "the head is longer than 1 GiB");
  }
  for (SectionKind kind :
       {SectionKind::meta, SectionKind::tdir, SectionKind::chks, SectionKind::data})
    if (head.section(kind) == nullptr) return broken(Rule::section_missing, section_name(kind));
  if (end != head.header.file_size)
    return broken(Rule::file_size, "DATA ends at " + std::to_string(end) + ", the file at " +
                                       std::to_string(head.header.file_size));
  const SectionRecord& last = sections[sections.size() - 2];
  if (head.header.head_size != last.offset + last.stored_size)
    return broken(Rule::head_size, std::to_string(head.header.head_size));
  return {};
}

Result<void> check_head_bytes(const Head& head) {
  const std::span<const std::byte> bytes = head.bytes;
  uint64_t end = sizeof(Header) + head.sections.size() * sizeof(SectionRecord);
  for (const SectionRecord& s : head.sections) {
    const uint64_t gap_end = std::min<uint64_t>(s.offset, bytes.size());
    for (uint64_t i = end; i < gap_end; i++)
      if (bytes[i] != std::byte{0}) return broken(Rule::head_padding, "byte " + std::to_string(i));
    if (s.kind == SectionKind::data) continue;
    if (hash_bytes(bytes.subspan(s.offset, s.stored_size)) != s.stored_hash)
      return broken(Rule::section_hash, section_name(s.kind));
    end = s.offset + s.stored_size;
  }
  const SectionRecord& chks = *head.section(SectionKind::chks);
  const uint64_t leaves =
      (head.sections.back().stored_size + head.chunk_bytes() - 1) / head.chunk_bytes();
  if (chks.stored_size != leaves * 8)
    return broken(Rule::leaf_count, std::to_string(chks.stored_size) + " bytes for " +
                                        std::to_string(leaves) + " chunks");
  if (head.sections.back().stored_hash != chks.stored_hash)
    return broken(Rule::section_hash, "DATA's hash is not that of CHKS");
  return {};
}

Result<void> check_texts(const Head& head) {
  for (SectionKind kind :
       {SectionKind::tokn, SectionKind::tmpl, SectionKind::calb, SectionKind::licn})
    if (const auto at = find_invalid_utf8(head.section_text(kind)))
      return broken(Rule::text_encoding, section_name(kind) + " at byte " + std::to_string(*at));
  return {};
}

Result<void> check_meta(const Json& meta) {
  if (!meta.is_object()) return broken(Rule::meta_json, "it is no object");
  for (const char* name : {"format", "model", "source", "quantization"})
    if (!meta.contains(name) || !meta[name].is_object())
      return broken(Rule::meta_field, std::string("\"") + name + "\" is missing or no object");
  const Json& format = meta["format"];
  for (const char* name : {"writer", "spec"})
    if (!format.contains(name) || !format[name].is_string())
      return broken(Rule::meta_field,
                    std::string("\"format.") + name + "\" is missing or no string");
  return {};
}

}  // namespace

std::string section_name(SectionKind kind) {
  std::string name;
  for (uint32_t shift = 0; shift < 32; shift += 8) {
    const char c = static_cast<char>(static_cast<uint32_t>(kind) >> shift & 0xff);
    name += c >= ' ' && c < 0x7f ? c : '?';
  }
  return name;
}

const SectionRecord* Head::section(SectionKind kind) const {
  const auto found =
      std::find_if(sections.begin(), sections.end(), [&](auto& s) { return s.kind == kind; });
  return found == sections.end() ? nullptr : &*found;
}

std::span<const std::byte> Head::section_bytes(SectionKind kind) const {
  const SectionRecord* s = section(kind);
  if (s == nullptr || kind == SectionKind::data) return {};
  return std::span(bytes).subspan(s->offset, s->stored_size);
}

std::string_view Head::section_text(SectionKind kind) const {
  const auto view = section_bytes(kind);
  return {reinterpret_cast<const char*>(view.data()), view.size()};
}

uint64_t section_start(const Header& header, SectionKind kind, uint64_t end) {
  const int log2 = kind == SectionKind::data ? header.data_align_log2 : header.comp_align_log2;
  const uint64_t align = uint64_t{1} << log2;
  return (end + align - 1) / align * align;
}

Result<Head> read_head(std::span<const std::byte> file) {
  if (auto r = check_magic(file); !r) return r.error();
  Head head;
  std::memcpy(&head.header, file.data(), sizeof(Header));
  if (auto r = check_header(head.header, file); !r) return r.error();

  const uint64_t table_bytes = head.header.section_count * sizeof(SectionRecord);
  const auto table = file.subspan(sizeof(Header), table_bytes);
  if (hash_bytes(table) != head.header.section_table_hash)
    return broken(Rule::section_table_hash, "it was changed");
  head.sections.resize(head.header.section_count);
  std::memcpy(head.sections.data(), table.data(), table_bytes);
  if (auto r = check_sections(head); !r) return r.error();

  // One private copy up to DATA: nobody can change what was checked, and nothing is parsed twice.
  const auto head_bytes = file.first(head.data_begin());
  head.bytes.assign(head_bytes.begin(), head_bytes.end());
  if (auto r = check_head_bytes(head); !r) return r.error();
  if (auto r = check_texts(head); !r) return r.error();

  auto meta = parse_json(head.section_text(SectionKind::meta), "META");
  if (!meta) return broken(Rule::meta_json, meta.error().message);
  head.meta = std::move(*meta);
  if (auto r = check_meta(head.meta); !r) return r.error();

  auto directory = parse_directory(head.section_bytes(SectionKind::tdir));
  if (!directory) return directory.error();
  head.directory = std::move(*directory);
  if (head.directory.tensors.size() != head.header.tensor_count)
    return broken(Rule::header_field,
                  "tensor_count is " + std::to_string(head.header.tensor_count));
  if (auto r = validate_directory(head.directory, head.data_begin(), head.data_end(),
                                  uint64_t{1} << head.header.comp_align_log2);
      !r)
    return r.error();
  return head;
}

}  // namespace sqf
