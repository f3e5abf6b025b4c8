#include "format/head.hpp"

#include <algorithm>

#include "format/validate_head.hpp"

namespace sqf {

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
  for (const Inflated& text : inflated)
    if (text.kind == kind) return std::as_bytes(std::span(text.bytes));
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
  Findings findings(1);
  Head head;
  if (!check_head(file, findings, &head)) return findings.first();
  return head;
}

}  // namespace sqf
