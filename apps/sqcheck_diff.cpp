// sqcheck diff A B: arguments and printing; what differs is found in sqcheck_compare.

#include <CLI/CLI.hpp>
#include <array>
#include <cmath>
#include <cstdio>

#include "apps/report.hpp"
#include "apps/sqcheck.hpp"
#include "apps/sqcheck_compare.hpp"

namespace sqf {
namespace {

constexpr const char* kDiffFooter = R"(Examples:
  sqcheck diff a.sqf b.sqf           tensors that differ, the description, the sections
  sqcheck diff --all a.sqf b.sqf     also the tensors that do not differ
  sqcheck diff --json a.sqf b.sqf    as one JSON object

Of each tensor: only in A, only in B, same bytes, same values (stored otherwise), or differ, with the
squared error |A - B|^2 / |A|^2 and the largest |A - B| of its weights. A tensor whose input is
treated otherwise (quantizer, smoothing) differs too. Checksums are not looked at: sqcheck FILE does
that.

Exit codes: 0 every tensor has the same values (description and other sections may differ), 1 some
differ, or a file is malformed; 2 usage, 3 environment or I/O, 4 unsupported,
5 interrupted.)";

struct DiffArguments {
  std::string a, b;
  bool json = false, all = false;
};

constexpr size_t kKinds = 5;

bool is_same(Likeness likeness) {
  return likeness == Likeness::same_bytes || likeness == Likeness::same_values;
}

struct SectionDifference {
  std::string kind, how;
};

/// Sections of text and tables; META is compared by its members, the others follow from tensors.
std::vector<SectionDifference> compare_sections(const Head& a, const Head& b) {
  std::vector<SectionDifference> out;
  const auto compared = [](SectionKind kind) {
    return kind != SectionKind::meta && kind != SectionKind::tdir && kind != SectionKind::chks &&
           kind != SectionKind::data;
  };
  for (const SectionRecord& s : a.sections) {
    if (!compared(s.kind)) continue;
    const auto size = [](const SectionRecord& r) { return std::to_string(r.raw_size) + " bytes"; };
    const SectionRecord* other = b.section(s.kind);
    if (other == nullptr)
      out.push_back({section_name(s.kind), "only in A"});
    else if (a.section_text(s.kind) != b.section_text(s.kind))
      out.push_back({section_name(s.kind), size(s) + " -> " + size(*other) + ", they differ"});
  }
  for (const SectionRecord& s : b.sections)
    if (compared(s.kind) && a.section(s.kind) == nullptr)
      out.push_back({section_name(s.kind), "only in B"});
  return out;
}

std::array<size_t, kKinds> count_by_likeness(const std::vector<TensorDifference>& tensors) {
  std::array<size_t, kKinds> counts = {};
  for (const TensorDifference& t : tensors) counts[static_cast<size_t>(t.likeness)]++;
  return counts;
}

/// One side of a difference, cut where it is long.
std::string json_text(const Json* json) {
  constexpr size_t kLimit = 48;
  if (json == nullptr) return "absent";
  // Characters that are not ASCII as \u escapes, so that a cut leaves none in half.
  const std::string text = json->dump(-1, ' ', true);
  return text.size() <= kLimit ? text : text.substr(0, kLimit) + "...";
}

void print_tensors(const std::vector<TensorDifference>& tensors, bool all) {
  for (const TensorDifference& t : tensors) {
    if (is_same(t.likeness) && !all) continue;
    std::printf("  %-46s %s", shown(t.name).c_str(), likeness_name(t.likeness));
    if (t.likeness == Likeness::differ && std::isfinite(t.relative_error))
      std::printf("  error %.3g, largest %.3g", t.relative_error, t.largest);
    std::printf("\n");
    for (const std::string& detail : t.details) std::printf("      %s\n", detail.c_str());
  }
}

void print_text(const std::vector<TensorDifference>& tensors,
                const std::vector<JsonDifference>& meta,
                const std::vector<SectionDifference>& sections, bool all) {
  const auto counts = count_by_likeness(tensors);
  print_tensors(tensors, all);
  std::printf("%zu tensors:", tensors.size());
  const char* comma = " ";
  for (size_t i = 0; i < kKinds; i++) {
    if (counts[i] == 0) continue;
    std::printf("%s%zu %s", comma, counts[i], likeness_name(static_cast<Likeness>(i)));
    comma = ", ";
  }
  std::printf("\n");
  if (!meta.empty()) std::printf("description\n");
  for (const JsonDifference& d : meta)
    std::printf("  %s: %s -> %s\n", shown(d.pointer).c_str(), json_text(d.a).c_str(),
                json_text(d.b).c_str());
  if (!sections.empty()) std::printf("sections\n");
  for (const SectionDifference& s : sections)
    std::printf("  %s: %s\n", s.kind.c_str(), s.how.c_str());
}

void print_json(const DiffArguments& a, const std::vector<TensorDifference>& tensors,
                const std::vector<JsonDifference>& meta,
                const std::vector<SectionDifference>& sections, bool same) {
  Json list = Json::array(), members = Json::array(), others = Json::array();
  for (const TensorDifference& t : tensors) {
    Json json = {{"name", t.name}, {"result", likeness_name(t.likeness)}};
    if (t.likeness == Likeness::differ && std::isfinite(t.relative_error)) {
      json["relative_error"] = t.relative_error;
      json["largest"] = t.largest;
    }
    if (!t.details.empty()) json["details"] = t.details;
    list.push_back(json);
  }
  for (const JsonDifference& d : meta) {
    members.push_back({{"pointer", d.pointer}});
    if (d.a != nullptr) members.back()["a"] = *d.a;
    if (d.b != nullptr) members.back()["b"] = *d.b;
  }
  for (const SectionDifference& s : sections)
    others.push_back({{"kind", s.kind}, {"result", s.how}});
  const Json json = {{"a", a.a},        {"b", a.b},        {"same_values", same},
                     {"tensors", list}, {"meta", members}, {"sections", others}};
  std::printf("%s\n", json.dump(1, ' ', false, Json::error_handler_t::replace).c_str());
}

}  // namespace

int run_diff(int argc, char** argv) {
  DiffArguments arguments;
  CLI::App app("Shows how two .sqf files differ.", "sqcheck diff");
  app.add_option("a", arguments.a, "the one")->required()->type_name("A");
  app.add_option("b", arguments.b, "the other")->required()->type_name("B");
  app.add_flag("--json", arguments.json, "as one JSON object");
  app.add_flag("--all", arguments.all, "also what does not differ");
  app.footer(kDiffFooter);
  if (const auto code = parse_arguments(app, argc, argv)) return *code;
  const auto a = ModelFile::open(arguments.a);
  if (!a) return report("sqcheck", a.error());
  const auto b = ModelFile::open(arguments.b);
  if (!b) return report("sqcheck", b.error());
  catch_signals();
  const auto tensors = [&] {
    const uint64_t total = file_bytes(a->head()).tensors;
    ProgressBar bar(!arguments.json);
    return compare_tensors(*a, *b, [&](uint64_t done) {
      bar.show(done, total, "comparing");
      return !interrupted();
    });
  }();
  if (interrupted()) return static_cast<int>(Code::interrupted);
  if (!tensors) return report("sqcheck", tensors.error());
  const auto meta = compare_json(a->head().meta, b->head().meta);
  const auto sections = compare_sections(a->head(), b->head());
  bool same = true;
  for (const TensorDifference& t : *tensors) same &= is_same(t.likeness);
  if (arguments.json)
    print_json(arguments, *tensors, meta, sections, same);
  else
    print_text(*tensors, meta, sections, arguments.all);
  return same ? 0 : static_cast<int>(Code::malformed);
}

}  // namespace sqf
