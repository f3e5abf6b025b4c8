#include "format/validate_head.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "format/hash.hpp"
#include "format/rules.hpp"
#include "format/section_rules.hpp"
#include "format/test_vectors.hpp"
#include "format/text.hpp"
#include "format/zstd.hpp"

namespace sqf {
namespace {

std::string hex(uint64_t value) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string digits = "0x";
  for (int shift = 60; shift >= 0; shift -= 4) digits += kDigits[(value >> shift) & 15];
  return digits;
}

template <typename T>
bool starts_with(std::span<const std::byte> file, const T& start) {
  return file.size() >= sizeof(T) - 1 && std::memcmp(file.data(), start, sizeof(T) - 1) == 0;
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

/// Step 1: what must hold before a field of the header means anything.
Result<void> check_identity(std::span<const std::byte> file, const Header& h) {
  constexpr std::array<uint8_t, 4> kStripped = {0x09, 'S', 'Q', 'F'};
  if (file.size() >= 4 && std::memcmp(file.data(), kMagic.data(), 4) != 0 &&
      std::memcmp(file.data(), kStripped.data(), 4) != 0)
    return broken(Rule::foreign_format, std::string("this is ") + foreign_name(file)).at(0);
  if (file.size() < sizeof(Header))
    return broken(Rule::too_short, "it has " + decimal(file.size()) + " bytes");
  if (h.magic != kMagic)
    return broken(Rule::mangled_magic, "it went through a text mode or a 7-bit channel").at(0);
  if (h.complete != kComplete)
    return broken(Rule::incomplete, "the marker at byte 240 is missing").at(240);
  const uint64_t hash = hash_bytes(file.first(sizeof(Header) - 8));
  if (hash != h.header_hash)
    return broken(Rule::header_hash,
                  "found " + hex(hash) + ", the header states " + hex(h.header_hash))
        .at(0)
        .values(hex(h.header_hash), hex(hash));
  if (h.major != kMajor)
    return broken(Rule::major_version, "version " + decimal(h.major) + "." + decimal(h.minor) +
                                           ", this reader knows " + decimal(kMajor))
        .values(decimal(kMajor), decimal(h.major));
  if (const uint64_t unknown = h.feature_incompat & ~kKnownIncompat; unknown != 0)
    return broken(Rule::unknown_incompat, "bits " + hex(unknown));
  return {};
}

Result<void> check_fields(const Header& h) {
  struct Field {
    const char* name;
    uint64_t value, low, high;
    uint64_t offset;
  };
  const Field fields[] = {
      {"header_size", h.header_size, sizeof(Header), sizeof(Header), 12},
      {"section_table_offset", h.section_table_offset, sizeof(Header), sizeof(Header), 48},
      {"section_entry_size", h.section_entry_size, sizeof(SectionRecord), sizeof(SectionRecord),
       60},
      {"comp_align_log2", h.comp_align_log2, 6, 12, 64},
      {"data_align_log2", h.data_align_log2, 12, 21, 65},
      {"chunk_log2", h.chunk_log2, 16, 24, 66},
      {"hash_kind", static_cast<uint64_t>(h.hash_kind), 1, 1, 67},
  };
  for (const Field& f : fields)
    if (f.value < f.low || f.value > f.high)
      return broken(Rule::header_field, std::string(f.name) + " is " + decimal(f.value))
          .at(f.offset)
          .values(f.low == f.high ? decimal(f.low) : decimal(f.low) + ".." + decimal(f.high),
                  decimal(f.value));
  return {};
}

/// Step 2: the header's fields, each rule by itself.
void check_header(const Header& h, std::span<const std::byte> file, Findings& findings) {
  findings.add(check_fields(h));
  const auto zero = [](uint8_t byte) { return byte == 0; };
  if (!std::all_of(h.reserved_a.begin(), h.reserved_a.end(), zero) ||
      !std::all_of(h.reserved_b.begin(), h.reserved_b.end(), zero))
    findings.add(broken(Rule::header_reserved, "a byte in 72..95 or 112..239 is not").at(72));
  if (h.file_size != file.size())
    findings.add(
        broken(Rule::file_size, "it has " + decimal(file.size()) + " bytes, the header states " +
                                    decimal(h.file_size) +
                                    (file.size() < h.file_size ? "; it was cut short" : ""))
            .values(decimal(h.file_size), decimal(file.size())));
  if (h.section_count < 4 || h.section_count > kMaxSections)
    findings.add(broken(Rule::section_count, decimal(h.section_count)).at(56));
  if (findings.empty() && file.size() < kFirstSection)
    findings.add(broken(Rule::section_place, "the file ends before byte 4096"));
}

Result<void> check_flags(const SectionRecord& s, const std::string& name) {
  if (s.reserved != 0 || s.ordinal != 0)
    return broken(Rule::section_flags, name + ": reserved fields are not zero");
  if ((s.flags & ~uint32_t{section_critical | section_compressed}) != 0)
    return broken(Rule::section_flags, name + ": flags " + hex(s.flags));
  const bool compressed = (s.flags & section_compressed) != 0;
  if (s.codec != (compressed ? 1u : 0u))
    return broken(Rule::section_flags, name + ": codec " + decimal(s.codec));
  if (compressed && !section_rules(s.kind).compressible)
    return broken(Rule::section_flags, name + ": this kind is never compressed");
  return {};
}

Result<void> check_size(const SectionRecord& s, const std::string& name) {
  const bool compressed = (s.flags & section_compressed) != 0;
  if (!compressed && (s.raw_size != s.stored_size || s.raw_hash != s.stored_hash))
    return broken(Rule::section_size, name + ": raw and stored differ without compression");
  const uint64_t limit = section_rules(s.kind).limit;
  for (const uint64_t size : {s.stored_size, s.raw_size})
    if (size == 0 || size > limit)
      return broken(Rule::section_size,
                    name + ": " + decimal(size) + " bytes, limit " + decimal(limit))
          .values("1.." + decimal(limit), decimal(size));
  return {};
}

Result<void> check_kind(const std::vector<SectionRecord>& sections, size_t index,
                        const std::string& name) {
  const SectionRecord& s = sections[index];
  const SectionRules& rules = section_rules(s.kind);
  const bool critical = (s.flags & section_critical) != 0;
  if (rules.kind == SectionKind{} && critical)
    return Error{
        Code::unsupported,
        broken(Rule::section_kind, name + ": unknown, and the file says it matters").message,
        static_cast<uint16_t>(Rule::section_kind)};
  if (rules.required && !critical)
    return broken(Rule::section_kind, name + ": not flagged critical");
  for (size_t i = 0; i < index; i++)
    if (sections[i].kind == s.kind) return broken(Rule::section_kind, name + " appears twice");
  return {};
}

/// `end` is where the section before this one ends; moves behind this one.
Result<void> check_place(const Head& head, size_t index, const std::string& name, uint64_t& end) {
  const SectionRecord& s = head.sections[index];
  const uint64_t start = section_start(head.header, s.kind, end);
  const uint64_t file_size = head.header.file_size;
  end = start + std::min(s.stored_size, kMaxFileBytes);  // no sum of sixty wraps
  if (s.offset != start || s.stored_size > file_size - std::min(start, file_size))
    return broken(Rule::section_place, name + " at " + decimal(s.offset) + " with " +
                                           decimal(s.stored_size) + " bytes, expected at " +
                                           decimal(start))
        .at(s.offset)
        .values(decimal(start), decimal(s.offset));
  if (s.kind == SectionKind::data && index + 1 != head.sections.size())
    return broken(Rule::section_place, "DATA is not the last section").at(s.offset);
  return {};
}

/// Step 4: the section table.
void check_table(const Head& head, Findings& findings) {
  uint64_t end = kFirstSection, head_end = kFirstSection;
  bool any_compressed = false;
  for (size_t i = 0; i < head.sections.size(); i++) {
    const SectionRecord& s = head.sections[i];
    const std::string name = section_name(s.kind);
    const size_t before = findings.count();
    uint64_t section_end = end;
    const auto place = check_place(head, i, name, section_end);
    findings.add(check_flags(s, name));
    if (findings.count() == before) findings.add(check_size(s, name));
    if (findings.count() == before) findings.add(check_kind(head.sections, i, name));
    if (findings.count() == before) findings.add(place);
    any_compressed |= (s.flags & section_compressed) != 0;
    end = section_end;
    if (s.kind != SectionKind::data) head_end = end;
  }
  if (!findings.empty()) return;
  if (head_end > kMaxHeadBytes)
    findings.add(broken(Rule::section_size, "the head is longer than 1 GiB"));
  for (const SectionRules& rules : section_rules())
    if (rules.required && head.section(rules.kind) == nullptr)
      findings.add(broken(Rule::section_missing, section_name(rules.kind)));
  if (end != head.header.file_size)
    findings.add(broken(Rule::file_size, "DATA ends at " + decimal(end) + ", the file at " +
                                             decimal(head.header.file_size))
                     .values(decimal(end), decimal(head.header.file_size)));
  if (head.header.head_size != head_end)
    findings.add(
        broken(Rule::head_size, decimal(head.header.head_size) + ", expected " + decimal(head_end))
            .at(96)
            .values(decimal(head_end), decimal(head.header.head_size)));
  if (any_compressed != ((head.header.feature_incompat & kIncompatZstd) != 0))
    findings.add(broken(Rule::section_flags, "the header's zstd bit says otherwise").at(32));
}

std::optional<uint64_t> first_nonzero(std::span<const std::byte> bytes, uint64_t begin,
                                      uint64_t end) {
  for (uint64_t i = begin; i < end; i++)
    if (bytes[i] != std::byte{0}) return i;
  return std::nullopt;
}

/// The raw bytes of a compressed section, kept in `head`.
Result<void> inflate(const SectionRecord& s, const std::string& name, Head& head) {
  auto raw =
      decompress_frame(std::span(head.bytes).subspan(s.offset, s.stored_size), s.raw_size, name);
  if (!raw) return raw.error();
  const uint64_t hash = hash_bytes(std::as_bytes(std::span(*raw)));
  if (hash != s.raw_hash)
    return broken(Rule::section_hash, name + ", decompressed")
        .at(s.offset)
        .values(hex(s.raw_hash), hex(hash));
  head.inflated.push_back({s.kind, std::move(*raw)});
  return {};
}

/// Step 5: the bytes of the head, and the table of leaves.
void check_bytes(Head& head, Findings& findings) {
  const std::span<const std::byte> bytes = head.bytes;
  uint64_t end = sizeof(Header) + head.sections.size() * sizeof(SectionRecord);
  for (const SectionRecord& s : head.sections) {
    const std::string name = section_name(s.kind);
    const auto at = first_nonzero(bytes, end, s.offset);
    if (at) findings.add(broken(Rule::head_padding, "byte " + decimal(*at)).at(*at));
    if (s.kind == SectionKind::data) continue;
    end = s.offset + s.stored_size;
    if (at) continue;
    const uint64_t hash = hash_bytes(bytes.subspan(s.offset, s.stored_size));
    if (hash != s.stored_hash)
      findings.add(
          broken(Rule::section_hash, name).at(s.offset).values(hex(s.stored_hash), hex(hash)));
    else if ((s.flags & section_compressed) != 0)
      findings.add(inflate(s, name, head));
  }
  const SectionRecord& chks = *head.section(SectionKind::chks);
  const SectionRecord& data = head.sections.back();
  const uint64_t leaves = (data.stored_size + head.chunk_bytes() - 1) / head.chunk_bytes();
  if (chks.stored_size != leaves * 8)
    findings.add(broken(Rule::leaf_count,
                        decimal(chks.stored_size) + " bytes for " + decimal(leaves) + " chunks")
                     .at(chks.offset)
                     .values(decimal(leaves * 8), decimal(chks.stored_size)));
  else if (data.stored_hash != chks.stored_hash)
    findings.add(broken(Rule::section_hash, "DATA's hash is not that of CHKS")
                     .values(hex(chks.stored_hash), hex(data.stored_hash)));
}

bool has_object(const Json& parent, const char* name) {
  return parent.contains(name) && parent[name].is_object();
}

bool has_string(const Json& parent, const char* name) {
  return parent.contains(name) && parent[name].is_string();
}

Result<void> check_meta(const Json& meta) {
  if (!meta.is_object()) return broken(Rule::meta_json, "META is no object");
  for (const char* name : {"format", "model", "source", "quantization"})
    if (!has_object(meta, name))
      return broken(Rule::meta_field, std::string("\"") + name + "\" is missing or no object");
  const Json& format = meta["format"];
  for (const char* name : {"writer", "spec"})
    if (!has_string(format, name))
      return broken(Rule::meta_field,
                    std::string("\"format.") + name + "\" is missing or no string");
  return {};
}

/// Step 6: what is text.
void check_texts(Head& head, Findings& findings) {
  for (const SectionRules& rules : section_rules())
    if (rules.text)
      if (const auto at = find_invalid_utf8(head.section_text(rules.kind)))
        findings.add(
            broken(Rule::text_encoding, section_name(rules.kind) + " at byte " + decimal(*at)));
  auto meta = parse_json(head.section_text(SectionKind::meta), "META");
  if (meta) {
    findings.add(check_meta(*meta));
    head.meta = std::move(*meta);
  } else {
    findings.add(broken(Rule::meta_json, meta.error().message));
  }
  if (!findings.empty() || head.section(SectionKind::calb) == nullptr) return;
  const auto calibration = parse_json(head.section_text(SectionKind::calb), "CALB");
  if (!calibration)
    findings.add(broken(Rule::meta_json, calibration.error().message));
  else if (!calibration->is_object())
    findings.add(broken(Rule::meta_json, "CALB is no object"));
}

/// Steps 7 to 12.
void check_directory(Head& head, Findings& findings) {
  auto directory = parse_directory(head.section_bytes(SectionKind::tdir));
  if (!directory) return findings.add(directory.error());
  head.directory = std::move(*directory);
  const uint64_t tensors = head.directory.tensors.size();
  if (tensors != head.header.tensor_count)
    return findings.add(broken(Rule::directory_size, "it has " + decimal(tensors) +
                                                         " tensors, the header states " +
                                                         decimal(head.header.tensor_count))
                            .values(decimal(head.header.tensor_count), decimal(tensors)));
  validate_directory(head.directory, head.data_begin(), head.data_end(),
                     uint64_t{1} << head.header.comp_align_log2, findings);
}

}  // namespace

bool check_head(std::span<const std::byte> file, Findings& findings, Head* out) {
  Head head = {};
  if (file.size() >= sizeof(Header)) std::memcpy(&head.header, file.data(), sizeof(Header));
  findings.add(check_identity(file, head.header));
  if (!findings.empty()) return false;
  check_header(head.header, file, findings);
  if (!findings.empty()) return false;

  const uint64_t table_bytes = head.header.section_count * sizeof(SectionRecord);
  const auto table = file.subspan(sizeof(Header), table_bytes);
  const uint64_t hash = hash_bytes(table);
  if (hash != head.header.section_table_hash) {
    findings.add(broken(Rule::section_table_hash, "it was changed")
                     .at(sizeof(Header))
                     .values(hex(head.header.section_table_hash), hex(hash)));
    return false;
  }
  head.sections.resize(head.header.section_count);
  std::memcpy(head.sections.data(), table.data(), table_bytes);
  check_table(head, findings);
  if (!findings.empty()) return false;

  // One private copy up to DATA: nobody can change what was checked, and nothing is parsed twice.
  const auto head_bytes = file.first(head.data_begin());
  head.bytes.assign(head_bytes.begin(), head_bytes.end());
  constexpr void (*kSteps[])(Head&, Findings&) = {check_bytes, check_texts, check_directory};
  for (const auto step : kSteps) {
    step(head, findings);
    if (!findings.empty()) return false;
  }
  if (head.section(SectionKind::encv) != nullptr)
    check_test_vectors(head.section_bytes(SectionKind::encv), head.directory.encodings, findings);
  if (!findings.empty()) return false;
  *out = std::move(head);
  return true;
}

}  // namespace sqf
