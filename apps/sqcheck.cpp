// sqcheck: is this file what its writer wrote, and what is it? Arguments, printing, exit codes.

#include <CLI/CLI.hpp>
#include <cstdio>

#include "apps/report.hpp"
#include "format/rules.hpp"
#include "loader/model_file.hpp"
#include "model/description.hpp"
#include "model/tokenizer.hpp"

namespace {

constexpr const char* kFooter = R"(Examples:
  sqcheck model.sqf            every checksum, every rule
  sqcheck --quick model.sqf    the head alone: milliseconds, whatever the size
  sqcheck info model.sqf       what is inside
  sqcheck rules                the rules, with their numbers

Exit codes: 0 good, 1 malformed or damaged, 2 usage, 3 environment or I/O, 4 valid but unsupported.)";

struct Arguments {
  std::string file;
  bool quick = false, json = false, info = false;
  size_t max_findings = 20;
};

struct Totals {
  uint64_t weights = 0, bytes = 0;
};

uint64_t tensor_bytes(const sqf::Directory& d, const sqf::TensorRecord& t) {
  uint64_t bytes = t.bias == sqf::kNone ? 0 : d.components[t.bias].size;
  for (uint32_t p = t.part_first; p < t.part_first + t.part_count; p++) {
    const sqf::PartRecord& part = d.parts[p];
    const auto count = [&](uint32_t index, const sqf::ComponentShape&, const char*) {
      bytes += d.components[index].size;
    };
    sqf::each_component(part, d.encodings[part.encoding], sqf::matrix_shape(t),
                        sqf::part_columns(d, t, part), count);
  }
  return bytes;
}

std::string shape_text(const sqf::TensorRecord& t) {
  std::string text = "[";
  for (size_t i = 0; i < t.rank; i++) text += (i ? ", " : "") + std::to_string(t.shape[i]);
  return text + "]";
}

uint64_t elements(const sqf::TensorRecord& t) {
  uint64_t n = 1;
  for (size_t i = 0; i < t.rank; i++) n *= t.shape[i];
  return n;
}

sqf::Json info_json(const sqf::ModelFile& file) {
  const sqf::Directory& d = file.head().directory;
  sqf::Json tensors = sqf::Json::array(), sections = sqf::Json::array();
  Totals totals;
  for (size_t i = 0; i < file.tensor_count(); i++) {
    const sqf::TensorRecord& t = *file.tensor(i).record;
    const uint64_t bytes = tensor_bytes(d, t);
    totals.weights += elements(t);
    totals.bytes += bytes;
    std::vector<uint64_t> shape(t.shape.begin(), t.shape.begin() + t.rank);
    tensors.push_back({{"name", file.tensor(i).name},
                       {"shape", shape},
                       {"bytes", bytes},
                       {"encoding", sqf::describe(d.encodings[d.parts[t.part_first].encoding])}});
  }
  for (const sqf::SectionRecord& s : file.head().sections)
    sections.push_back(
        {{"kind", sqf::section_name(s.kind)}, {"offset", s.offset}, {"bytes", s.stored_size}});
  return {{"file_bytes", file.bytes().size()},
          {"meta", file.head().meta},
          {"sections", sections},
          {"tensors", tensors},
          {"weights", totals.weights},
          {"bits_per_weight",
           8.0 * static_cast<double>(totals.bytes) / static_cast<double>(totals.weights)}};
}

void print_info(const sqf::ModelFile& file, bool every_tensor) {
  const sqf::Json info = info_json(file);
  const sqf::Directory& d = file.head().directory;
  const auto& meta = file.head().meta;
  std::printf("SQF %u.%u, %.1f MB, written by %s\n", file.head().header.major,
              file.head().header.minor, static_cast<double>(file.bytes().size()) / 1e6,
              meta["format"]["writer"].get<std::string>().c_str());
  if (auto m = sqf::description_from_json(meta["model"]))
    std::printf(
        "%s: %lld layers, hidden %lld, %lld heads (%lld for keys), vocabulary %lld, context "
        "%lld%s\n",
        m->architecture.c_str(), static_cast<long long>(m->layers),
        static_cast<long long>(m->hidden_size), static_cast<long long>(m->heads),
        static_cast<long long>(m->kv_heads), static_cast<long long>(m->vocab_size),
        static_cast<long long>(m->context_length), m->tied ? ", head tied to the embedding" : "");
  std::printf("%zu tensors, %.1f M weights, %.2f bits per weight stored\n", file.tensor_count(),
              info["weights"].get<double>() / 1e6, info["bits_per_weight"].get<double>());
  std::printf("sections:");
  for (const sqf::SectionRecord& s : file.head().sections)
    std::printf(" %s %.1f KB", sqf::section_name(s.kind).c_str(),
                static_cast<double>(s.stored_size) / 1e3);
  std::printf("\nencodings:\n");
  std::vector<Totals> totals(d.encodings.size());
  std::vector<size_t> counts(d.encodings.size());
  for (const sqf::TensorRecord& t : d.tensors) {
    const size_t e = d.parts[t.part_first].encoding;
    totals[e].weights += elements(t);
    totals[e].bytes += tensor_bytes(d, t);
    counts[e]++;
  }
  for (size_t e = 0; e < totals.size(); e++)
    std::printf("  %4zu tensors  %s: %.2f bits per weight, %.1f MB\n", counts[e],
                sqf::describe(d.encodings[e]).c_str(),
                8.0 * static_cast<double>(totals[e].bytes) / static_cast<double>(totals[e].weights),
                static_cast<double>(totals[e].bytes) / 1e6);
  if (!every_tensor) return;
  for (const sqf::TensorRecord& t : d.tensors)
    std::printf("  %-50s %-16s %s\n", std::string(d.name(t)).c_str(), shape_text(t).c_str(),
                sqf::describe(d.encodings[d.parts[t.part_first].encoding]).c_str());
}

/// The rules that need the model's own description: R7xx.
std::vector<sqf::Error> check_model(const sqf::ModelFile& file) {
  std::vector<sqf::Error> found;
  auto description = sqf::description_from_json(file.head().meta["model"]);
  if (!description) {
    found.push_back(description.error().code == sqf::Code::unsupported
                        ? description.error()
                        : sqf::broken(sqf::Rule::model_description, description.error().message));
    return found;
  }
  // A hostile layer count must not make a list longer than the file's.
  if (static_cast<uint64_t>(description->layers) > file.tensor_count()) {
    found.push_back(sqf::broken(sqf::Rule::model_tensor, "more layers than tensors"));
    return found;
  }
  const auto specs = sqf::tensor_specs(*description);
  for (const sqf::TensorSpec& spec : specs) {
    const auto tensor = file.find(spec.name);
    if (!tensor)
      found.push_back(sqf::broken(sqf::Rule::model_tensor, "\"" + spec.name + "\" is missing"));
    else if (tensor->shape.rows != static_cast<uint64_t>(spec.rows) ||
             tensor->shape.columns != static_cast<uint64_t>(spec.columns))
      found.push_back(sqf::broken(sqf::Rule::model_tensor,
                                  "\"" + spec.name + "\" is " + shape_text(*tensor->record)));
  }
  if (specs.size() != file.tensor_count() && found.empty())
    found.push_back(sqf::broken(sqf::Rule::model_tensor, std::to_string(file.tensor_count()) +
                                                             " tensors, expected " +
                                                             std::to_string(specs.size())));
  if (const auto text = file.head().section_text(sqf::SectionKind::tokn); !text.empty()) {
    auto tokenizer = sqf::Tokenizer::from_json(text);
    if (!tokenizer)
      found.push_back(tokenizer.error().code == sqf::Code::unsupported
                          ? tokenizer.error()
                          : sqf::broken(sqf::Rule::model_tokenizer, tokenizer.error().message));
    else if (tokenizer->vocab_size() > description->vocab_size)
      found.push_back(
          sqf::broken(sqf::Rule::model_tokenizer, "more tokens than rows of the embedding"));
  }
  return found;
}

int finish(const Arguments& a, const std::vector<sqf::Error>& found, const sqf::ModelFile* file) {
  int code = 0;
  for (const sqf::Error& e : found) {
    // Damage weighs more than what this build cannot do.
    if (code == 0 || e.code == sqf::Code::malformed) code = static_cast<int>(e.code);
  }
  if (a.json) {
    sqf::Json findings = sqf::Json::array();
    for (const sqf::Error& e : found)
      findings.push_back(
          {{"rule", e.rule}, {"code", static_cast<int>(e.code)}, {"message", e.message}});
    sqf::Json json = {{"file", a.file}, {"good", found.empty()}, {"findings", findings}};
    if (file != nullptr && found.empty()) json["info"] = info_json(*file);
    std::printf("%s\n", json.dump(1, ' ', false, sqf::Json::error_handler_t::replace).c_str());
  } else {
    for (const sqf::Error& e : found) std::fprintf(stderr, "sqcheck: %s\n", e.message.c_str());
    if (found.empty()) std::printf("%s: good%s\n", a.file.c_str(), a.quick ? " (head only)" : "");
  }
  return code;
}

int run(const Arguments& a) {
  auto file = sqf::ModelFile::open(a.file);
  if (!file) return finish(a, {file.error()}, nullptr);
  if (a.info) {
    if (a.json)
      std::printf("%s\n", info_json(*file).dump(1).c_str());
    else
      print_info(*file, true);
    return 0;
  }
  std::vector<sqf::Error> found = check_model(*file);
  if (!a.quick) {
    sqf::catch_signals();
    sqf::ProgressBar bar(!a.json);
    auto data = file->verify(a.max_findings, [&](uint64_t done) {
      bar.show(done, file->head().data_end() - file->head().data_begin(), "checking");
      return !sqf::interrupted();
    });
    found.insert(found.end(), data.begin(), data.end());
  }
  if (sqf::interrupted()) return static_cast<int>(sqf::Code::interrupted);
  if (found.empty() && !a.json) print_info(*file, false);
  return finish(a, found, &*file);
}

int print_rules() {
  for (const sqf::RuleText& r : sqf::rules())
    std::printf("R%u  %s\n", static_cast<unsigned>(r.rule), r.text);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "rules")
    return sqf::close_output("sqcheck", print_rules());
  Arguments arguments;
  if (argc > 1 && std::string_view(argv[1]) == "info") {
    arguments.info = true;
    argv[1] = argv[0];
    argv++, argc--;
  }
  CLI::App app("Verifies an .sqf file: every rule of the format, every checksum, every tensor.",
               "sqcheck");
  app.add_option("file", arguments.file, "the file to check")->required();
  app.add_flag("--quick", arguments.quick, "the head only: no tensor bytes are read");
  app.add_flag("--json", arguments.json, "findings and contents as JSON");
  app.add_option("--max-findings", arguments.max_findings, "stop after so many")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  app.set_version_flag("--version", std::string("sqcheck 1.0.0 (SQF 1.0)"));
  app.footer(kFooter);
  if (const auto code = sqf::parse_arguments(app, argc, argv)) return *code;
  try {
    return sqf::close_output("sqcheck", run(arguments));
  } catch (const std::exception& e) {
    return sqf::report("sqcheck", sqf::io_error(e.what()));
  }
}
