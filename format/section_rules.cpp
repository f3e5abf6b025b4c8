#include "format/section_rules.hpp"

#include <algorithm>
#include <iterator>

#include "format/head.hpp"

namespace sqf {
namespace {

constexpr SectionRules kKnown[] = {
    {SectionKind::meta, kMaxMetaBytes, true, true, false},
    {SectionKind::tdir, kMaxHeadBytes, true, false, false},
    {SectionKind::encv, kMaxHeadBytes, false, false, false},
    {SectionKind::tokn, kMaxTokenizerBytes, false, true, true},
    {SectionKind::tokb, kMaxTokenizerBytes, false, false, false},
    {SectionKind::tmpl, kMaxTextBytes, false, true, true},
    {SectionKind::calb, kMaxMetaBytes, false, true, true},
    {SectionKind::licn, 16 * kMaxTextBytes, false, true, true},
    {SectionKind::chks, kMaxHeadBytes, true, false, false},
    {SectionKind::data, kMaxFileBytes, true, false, false},
};
constexpr SectionRules kUnknown = {SectionKind{}, kMaxHeadBytes, false, false, false};

}  // namespace

std::span<const SectionRules> section_rules() {
  return kKnown;
}

const SectionRules& section_rules(SectionKind kind) {
  const auto* found = std::find_if(std::begin(kKnown), std::end(kKnown),
                                   [&](const SectionRules& r) { return r.kind == kind; });
  return found == std::end(kKnown) ? kUnknown : *found;
}

bool is_required(SectionKind kind) {
  return section_rules(kind).required;
}

uint64_t section_limit(SectionKind kind) {
  return section_rules(kind).limit;
}

bool is_compressible(SectionKind kind) {
  return section_rules(kind).compressible;
}

}  // namespace sqf
