#include "converter/convert.hpp"

#include <algorithm>

#include "converter/hessian_walk.hpp"
#include "converter/layout.hpp"
#include "converter/tensor_job.hpp"
#include "format/writer.hpp"
#include "model/tokenizer_compile.hpp"

namespace sqf {
namespace {

constexpr const char* kWriterName = "sqconv 1.0.0";

std::string meta_text(const SourceModel& source, const Plan& plan, const ConvertOptions& options) {
  Json files = Json::array();
  for (const SourceFile& file : source.files)
    files.push_back({{"name", file.name}, {"size", file.size}});
  Json meta = {{"format", {{"spec", "1.0"}, {"writer", kWriterName}}},
               {"model", description_to_json(plan.description)},
               {"source", {{"files", files}}},
               {"quantization", options.recipe.is_object() ? options.recipe : Json::object()}};
  if (options.compress) meta["format"]["features"] = Json::array({"zstd sections"});
  if (!source.config_text.empty()) meta["source"]["config"] = source.config_text;
  // File names need not be UTF-8; META must be.
  return meta.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// In pieces, asking `go_on` before each: a slow disk must not hold up who wants to stop.
Result<void> append(Writer& writer, std::span<const std::byte> bytes,
                    const std::function<bool()>& go_on) {
  constexpr size_t kPiece = size_t{4} << 20;
  for (; !bytes.empty() && go_on(); bytes = bytes.subspan(std::min(bytes.size(), kPiece)))
    if (auto r = writer.append(bytes.first(std::min(bytes.size(), kPiece))); !r) return r;
  return {};
}

/// What belongs to an input alone: the smoothing vector, the list of outliers.
Result<void> append_input(Writer& writer, const InputPlan& plan, const InputChoice& choice) {
  if (plan.smooth == SmoothState::apply || plan.keeps_smooth)
    if (auto r = writer.append(std::as_bytes(std::span(choice.smooth))); !r) return r;
  return writer.append(std::as_bytes(std::span(choice.outliers)));
}

}  // namespace

Result<ConvertReport> convert(const SourceModel& source, const Plan& plan,
                              const std::filesystem::path& target, const ConvertOptions& options) {
  std::vector<HeadSection> sections = {{SectionKind::meta, meta_text(source, plan, options)}};
  if (!source.tokenizer_json.empty()) {
    sections.push_back({SectionKind::tokn, source.tokenizer_json});
    // What cannot be compiled is carried as text alone; whoever runs the model says why.
    if (auto tables = compile_tokenizer(source.tokenizer_json))
      sections.push_back({SectionKind::tokb, *std::move(tables)});
  }
  if (!source.chat_template.empty()) sections.push_back({SectionKind::tmpl, source.chat_template});
  if (options.calibration.is_object())
    sections.push_back({SectionKind::calb, options.calibration.dump()});
  if (!source.licence.empty()) sections.push_back({SectionKind::licn, source.licence});
  std::vector<float> scales;
  for (const InputChoice& choice : options.choices) scales.push_back(choice.static_scale);
  auto writer = Writer::create(target, lay_out(plan, scales), std::move(sections),
                               {.replace = options.replace, .compress = options.compress});
  if (!writer) return writer.error();

  HessianOptions hessian = {options.threads, options.behind_rounded, options.gptq, nullptr};
  std::unique_ptr<HessianWalk> walk;
  const std::vector<InputChoice> nothing(plan.inputs.size());
  const std::span<const InputChoice> choices = options.choices.empty() ? nothing : options.choices;
  if (std::ranges::any_of(plan.tensors, [](auto& t) { return t.method == Method::gptq; })) {
    if (options.tokens == nullptr) return usage_error("GPTQ needs calibration text");
    auto made = HessianWalk::create(source, plan, choices, *options.tokens, hessian);
    if (!made) return made.error();
    walk = std::move(*made);
  }
  ConvertReport report;
  uint64_t done = 0;
  int64_t last_input = -1;
  for (const TensorPlan& t : plan.tensors) {
    const uint64_t bytes = t.source->bytes.size();
    bool stopped = false;
    const auto go_on = [&](double share) {
      const uint64_t here = static_cast<uint64_t>(share * static_cast<double>(bytes));
      if (!stopped && options.progress)
        stopped = !options.progress(done + here, plan.source_bytes, t.spec.name);
      return !stopped;
    };
    if (t.spec.input >= 0 && t.spec.input != last_input) {
      last_input = t.spec.input;
      const auto index = static_cast<size_t>(last_input);
      if (auto r = append_input(*writer, plan.inputs[index], choices[index]); !r) return r.error();
    }
    const TensorFold fold = fold_of(plan, choices, t);
    TensorChoices given = choices_of(t, fold, choices);
    if (t.method == Method::gptq) {
      hessian.go_on = [&] { return go_on(0); };
      auto input = walk->input(t.spec.input);
      if (!input) return input.error();
      given.gptq = *input;
    }
    auto tensor = encode_tensor(t, given, options.threads, go_on);
    if (!tensor) return tensor.error();
    if (walk != nullptr && !stopped)
      if (auto r = walk->put(t, fold, given.outliers, *tensor); !r) return r.error();
    for (const auto component : tensor->components())
      if (auto r = append(*writer, component, [&] { return go_on(1); }); !r) return r.error();
    if (!go_on(1))
      return Error{Code::interrupted,
                   target.string() + ": stopped before it was complete; nothing was written", 0};
    release_pages(t.source->bytes);
    TensorReport& told = report.tensors.emplace_back(TensorReport{t.spec.name, tensor->stats, {}});
    if (tensor->low_rank) {
      told.low_rank_before = tensor->low_rank->error_before;
      told.low_rank_after = tensor->low_rank->error_after;
    }
    if (options.quality && is_coded(t.method)) {
      auto quality = measure_tensor(t, fold, given, *tensor, options.threads);
      if (!quality) return quality.error();
      told.quality = *quality;
    }
    done += bytes;
  }
  report.file_bytes = writer->file_size();
  if (auto r = writer->finish(); !r) return r.error();
  return report;
}

}  // namespace sqf
