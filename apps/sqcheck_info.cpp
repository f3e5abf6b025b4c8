// sqcheck info FILE: what is inside, for people; --json for programs.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <map>

#include "apps/report.hpp"
#include "apps/sqcheck.hpp"
#include "model/check_model.hpp"
#include "model/description.hpp"

namespace sqf {
namespace {

constexpr const char* kInfoFooter = R"(Examples:
  sqcheck info model.sqf             model, sections, encodings, inputs, the tree of tensors;
                                     layers that are alike stand in one line, as 0..29
  sqcheck info --all model.sqf       every tensor by itself
  sqcheck info --ranges model.sqf    also decodes every weight: least, greatest, mean size, zeros,
                                     scales; numbers that are not finite (implies --all)
  sqcheck info --json model.sqf      all of it, with each component's place in the file

Bits per weight count everything that is stored for a tensor: codes, scales, zeros, factors, row sums,
low-rank pair, bias, padding. What inputs share is counted once, in the total. #2 is an encoding's
number in the list. Only the head is checked: sqcheck FILE checks the rest.)";

struct InfoArguments {
  std::string file;
  bool json = false, all = false, ranges = false;
};

void print_header(const Head& head) {
  const Json& meta = head.meta;
  std::string features;
  for (const std::string& word : feature_words(head))
    features += (features.empty() ? "" : ", ") + shown(word);
  std::printf("SQF %u.%u, %s, written by %s", head.header.major, head.header.minor,
              megabytes(head.header.file_size).c_str(),
              shown(*meta["format"]["writer"].get_ptr<const std::string*>()).c_str());
  std::printf("%s%s\n", features.empty() ? "" : "; features: ", features.c_str());
}

std::string rope_text(const ModelDescription& m) {
  char text[200];
  int n = std::snprintf(text, sizeof text, "rope theta %g", static_cast<double>(m.rope_theta));
  const auto end = text + n;
  const size_t left = sizeof text - static_cast<size_t>(n);
  if (m.rope_scaling == RopeScaling::linear)
    std::snprintf(end, left, " linear x%g", static_cast<double>(m.rope_factor));
  if (m.rope_scaling == RopeScaling::llama3)
    std::snprintf(end, left, " llama3 x%g (%g..%g of %lld)", static_cast<double>(m.rope_factor),
                  static_cast<double>(m.rope_low_frequency),
                  static_cast<double>(m.rope_high_frequency),
                  static_cast<long long>(m.rope_original_context));
  return text;
}

void print_model(const Head& head) {
  if (is_no_model(head)) {
    std::printf("no model: what the tensors are for is not said\n");
    return;
  }
  const auto m = description_from_json(head.meta["model"]);
  if (!m) {
    std::printf("model: %s\n", m.error().message.c_str());
    return;
  }
  const auto n = [](int64_t value) { return std::to_string(value); };
  std::printf("%s: %s layers, hidden %s, inner %s, %s heads (%s for keys) of %s, vocabulary %s\n",
              shown(m->architecture).c_str(), n(m->layers).c_str(), n(m->hidden_size).c_str(),
              n(m->intermediate_size).c_str(), n(m->heads).c_str(), n(m->kv_heads).c_str(),
              n(m->head_dim).c_str(), n(m->vocab_size).c_str());
  std::string biases = m->qkv_bias ? ", bias on q, k, v" : "";
  if (m->output_bias) biases += ", on o";
  if (m->mlp_bias) biases += biases.empty() ? ", bias on mlp" : ", on mlp";
  std::printf("  context %s, %s, rms norm %g, silu%s%s%s\n", n(m->context_length).c_str(),
              rope_text(*m).c_str(), static_cast<double>(m->norm_epsilon),
              m->qk_norm == QkNorm::per_head ? ", norms of q and k per head" : "", biases.c_str(),
              m->tied ? ", head tied to the embedding" : "");
}

void print_sections(const Head& head) {
  std::printf("\nsections\n");
  for (const SectionRecord& s : head.sections) {
    std::string raw;
    if ((s.flags & section_compressed) != 0) raw = "  zstd of " + megabytes(s.raw_size);
    std::printf("  %s  %10s%s\n", section_name(s.kind).c_str(), megabytes(s.stored_size).c_str(),
                raw.c_str());
  }
}

void print_encodings(const Directory& d) {
  std::vector<std::string> words = {"encodings"};
  for (const EncodingRecord& e : d.encodings)
    words.push_back("  #" + std::to_string(words.size() - 1) + "  " + describe(e));
  size_t width = 0;
  for (const std::string& text : words) width = std::max(width, text.size());
  const int columns = static_cast<int>(width);
  std::printf("\n%-*s %9s %8s %11s\n", columns, words[0].c_str(), "tensors", "bits/w", "stored");
  const std::vector<Totals> totals = totals_by_encoding(d);
  for (size_t e = 0; e < totals.size(); e++)
    std::printf("%-*s %9llu %8.2f %11s\n", columns, words[e + 1].c_str(),
                static_cast<unsigned long long>(totals[e].tensors),
                bits_per_weight(totals[e].bytes, totals[e].weights),
                megabytes(totals[e].bytes).c_str());
}

/// Inputs by what they are; most files have a few kinds of many.
void print_inputs(const Directory& d, bool all) {
  if (d.inputs.empty()) return;
  constexpr size_t kShown = 12;
  std::map<std::string, size_t> kinds;
  for (const InputRecord& input : d.inputs) kinds[input_text(input)]++;
  std::vector<std::pair<std::string, size_t>> sorted(kinds.begin(), kinds.end());
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  std::printf("\ninputs\n");
  size_t lines = 0;
  for (const auto& [text, count] : sorted) {
    if (lines++ == kShown && !all) {
      std::printf("        and %zu other kinds (--all)\n", sorted.size() - kShown);
      break;
    }
    std::printf("  %4zu of %s\n", count, text.c_str());
  }
}

void print_totals(const Head& head) {
  const FileBytes bytes = file_bytes(head);
  char millions[40];
  std::snprintf(millions, sizeof millions, "%.1f M", static_cast<double>(bytes.weights) / 1e6);
  std::printf("\n%zu tensors, %s weights, %.2f bits per weight in %s of DATA\n",
              head.directory.tensors.size(),
              bytes.weights < 1000000 ? std::to_string(bytes.weights).c_str() : millions,
              bits_per_weight(bytes.data(), bytes.weights), megabytes(bytes.data()).c_str());
  std::printf("  (tensors %s, inputs %s, gaps %s); before DATA %s\n",
              megabytes(bytes.tensors).c_str(), megabytes(bytes.inputs).c_str(),
              megabytes(bytes.gaps).c_str(), megabytes(bytes.head).c_str());
}

}  // namespace

int run_info(int argc, char** argv) {
  InfoArguments a;
  CLI::App app("Shows what is in an .sqf file.", "sqcheck info");
  app.add_option("file", a.file, "the file")->required()->type_name("FILE");
  app.add_flag("--json", a.json, "as one JSON object");
  app.add_flag("--all", a.all, "every tensor and input by itself");
  app.add_flag("--ranges", a.ranges, "ranges of values, from all of the tensors' bytes");
  app.footer(kInfoFooter);
  if (const auto code = parse_arguments(app, argc, argv)) return *code;
  const auto file = ModelFile::open(a.file);
  if (!file) return report("sqcheck", file.error());
  std::vector<Ranges> ranges;
  if (a.ranges) {
    catch_signals();
    ranges = read_ranges(*file, !a.json);
    if (interrupted()) return static_cast<int>(Code::interrupted);
  }
  const Head& head = file->head();
  if (a.json) {
    std::printf("%s\n", info_json(head, ranges).dump(1).c_str());
    return 0;
  }
  print_header(head);
  print_model(head);
  print_sections(head);
  print_encodings(head.directory);
  print_inputs(head.directory, a.all);
  std::printf("\n");
  print_tree(head.directory, ranges, a.all);
  print_totals(head);
  return 0;
}

}  // namespace sqf
