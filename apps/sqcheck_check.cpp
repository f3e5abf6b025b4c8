// sqcheck FILE...: every rule of the format on each file, in the order of spec/sqf.md section 6.

#include <CLI/CLI.hpp>
#include <cstdio>

#include "apps/report.hpp"
#include "apps/sqcheck.hpp"
#include "format/text.hpp"
#include "format/validate_head.hpp"
#include "model/check_model.hpp"
#include "model/tokenizer.hpp"

namespace sqf {
namespace {

constexpr const char* kCheckFooter = R"(Commands beside this one, each with a --help of its own:
  sqcheck info FILE            what is in a file: model, encodings, sizes, the tree of its tensors
  sqcheck diff A B             how two files differ, tensor by tensor
  sqcheck rules                the rules, with their numbers
A file of such a name is checked as ./info.

Examples:
  sqcheck model.sqf            every checksum, every rule
  sqcheck --quick model.sqf    all that does not read the tensors' bytes (steps 1 to 14): fast,
                               whatever the size; damaged tensors are not seen
  sqcheck --json *.sqf         one JSON object for each file, a line each: "file", "good",
                               "findings": [{"rule", "code", "message", and as far as known
                               "tensor", "offset", "expected", "found"}]; "notes" if there are any.
                               For one file the object is indented and has "info" if it is good
  sqcheck --max-findings 1000 model.sqf

A file is good when it breaks no rule. Findings go to stderr with the rule, what was found, the tensor
and the byte of the file. A finding without a rule is a file that cannot be read (code 3) or one that
this version does not know how to run (code 4); a note says that only the tokenizer cannot be used.

Exit code, the gravest of all files: 1 malformed or damaged, 3 environment or I/O, 4 valid but
unsupported here, 0 good; 2 usage, 5 interrupted.)";

struct CheckArguments {
  std::vector<std::string> files;
  bool quick = false, json = false;
  size_t max_findings = 20;
};

struct Verdict {
  std::vector<Error> findings;
  std::vector<std::string> notes;  ///< what this build cannot do with a file that is good
  bool full = false;               ///< there may be more findings
  Json info;                       ///< null unless it is good
};

/// Steps 1 to 15 on the mapped bytes.
Verdict check_bytes(const CheckArguments& a, const std::string& name,
                    std::span<const std::byte> bytes) {
  Verdict verdict;
  Findings findings(a.max_findings);
  Head head;
  const bool opened = check_head(bytes, findings, &head);
  if (opened) check_model(head, findings);
  if (opened && !a.quick && !findings.full()) {
    ProgressBar bar(!a.json);
    const auto broken =
        validate_data(head, bytes, a.max_findings - findings.count(), [&](uint64_t done) {
          bar.show(done, head.data_end() - head.data_begin(), name);
          return !interrupted();
        });
    for (const Error& e : broken) findings.add(e);
  }
  verdict.full = findings.full();
  verdict.findings = std::move(findings).take();
  if (!verdict.findings.empty()) return verdict;
  const std::string_view tokenizer = head.section_text(SectionKind::tokn);
  if (!tokenizer.empty() && !is_no_model(head))
    if (const auto made = Tokenizer::from_json(tokenizer); !made)
      verdict.notes.push_back("this version cannot use the tokenizer: " + made.error().message);
  if (a.json && a.files.size() == 1) verdict.info = info_json(head, {});
  return verdict;
}

Verdict check_file(const CheckArguments& a, const std::string& name) {
  auto mapping = Mapping::open(name);
  if (mapping) return check_bytes(a, name, mapping->bytes());
  Verdict verdict;
  verdict.findings.push_back(mapping.error());
  return verdict;
}

/// What is gravest stands last: unsupported, environment, malformed.
int gravity(int code) {
  constexpr Code kOrder[] = {Code::unsupported, Code::io, Code::malformed};
  for (int i = 0; i < 3; i++)
    if (code == static_cast<int>(kOrder[i])) return i + 1;
  return 0;
}

int exit_code(const Verdict& verdict) {
  int code = verdict.notes.empty() ? 0 : static_cast<int>(Code::unsupported);
  for (const Error& e : verdict.findings)
    if (gravity(static_cast<int>(e.code)) > gravity(code)) code = static_cast<int>(e.code);
  return code;
}

Json finding_json(const Error& e) {
  Json json = {{"rule", e.rule}, {"code", static_cast<int>(e.code)}, {"message", e.message}};
  if (!e.tensor.empty()) json["tensor"] = e.tensor;
  if (e.offset != Error::kNowhere) json["offset"] = e.offset;
  if (!e.expected.empty()) json["expected"] = e.expected;
  if (!e.found.empty()) json["found"] = e.found;
  return json;
}

void print_json(const CheckArguments& a, const std::string& name, const Verdict& verdict) {
  Json findings = Json::array();
  for (const Error& e : verdict.findings) findings.push_back(finding_json(e));
  Json json = {{"file", name}, {"good", verdict.findings.empty()}, {"findings", findings}};
  if (!verdict.notes.empty()) json["notes"] = verdict.notes;
  if (!verdict.info.is_null()) json["info"] = verdict.info;
  const int indent = a.files.size() == 1 ? 1 : -1;
  std::printf("%s\n", json.dump(indent, ' ', false, Json::error_handler_t::replace).c_str());
}

/// The message, and where, as far as it does not say so itself.
std::string finding_text(const std::string& name, const Error& e) {
  std::string where;
  const auto add = [&](const std::string& place) { where += (where.empty() ? "" : ", ") + place; };
  const auto says = [&](const std::string& what) {
    return e.message.find(what) != std::string::npos;
  };
  if (!e.tensor.empty() && !says(in_quotes(e.tensor))) add("tensor " + in_quotes(e.tensor));
  if (e.offset != Error::kNowhere && !says(std::to_string(e.offset)))
    add("byte " + std::to_string(e.offset));
  const std::string start = e.message.starts_with(name + ": ") ? "" : name + ": ";
  return start + e.message + (where.empty() ? "" : " (" + where + ")");
}

void print_text(const CheckArguments& a, const std::string& name, const Verdict& verdict) {
  for (const Error& e : verdict.findings)
    std::fprintf(stderr, "sqcheck: %s\n", finding_text(name, e).c_str());
  if (verdict.findings.size() > 1)
    std::fprintf(stderr, "sqcheck: %s: %zu findings%s\n", name.c_str(), verdict.findings.size(),
                 verdict.full ? ", and there may be more (--max-findings)" : "");
  for (const std::string& note : verdict.notes)
    std::fprintf(stderr, "sqcheck: %s: note: %s\n", name.c_str(), note.c_str());
  if (verdict.findings.empty())
    std::printf("%s: good%s\n", name.c_str(), a.quick ? " (its tensors' bytes not read)" : "");
}

}  // namespace

int run_check(int argc, char** argv) {
  CheckArguments a;
  CLI::App app("Verifies .sqf files: every rule of the format, every checksum, every tensor.",
               "sqcheck");
  app.add_option("files", a.files, "the files to check")->required()->type_name("FILE");
  app.add_flag("--quick", a.quick, "everything but the tensors' bytes");
  app.add_flag("--json", a.json, "findings as JSON");
  app.add_option("--max-findings", a.max_findings, "stop a file's check after so many")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  app.set_version_flag("--version", std::string("sqcheck 1.0.0 (SQF 1.0)"));
  app.footer(kCheckFooter);
  if (const auto code = parse_arguments(app, argc, argv)) return *code;
  catch_signals();
  int code = 0;
  for (const std::string& name : a.files) {
    const Verdict verdict = check_file(a, name);
    if (interrupted()) return static_cast<int>(Code::interrupted);
    if (a.json)
      print_json(a, name, verdict);
    else
      print_text(a, name, verdict);
    if (const int found = exit_code(verdict); gravity(found) > gravity(code)) code = found;
  }
  return code;
}

}  // namespace sqf
