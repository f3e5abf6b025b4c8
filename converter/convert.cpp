#include "converter/convert.hpp"

#include <algorithm>

#include "converter/hessian_walk.hpp"
#include "converter/journal.hpp"
#include "converter/layout.hpp"
#include "converter/tensor_job.hpp"
#include "format/writer.hpp"
#include "model/tokenizer_compile.hpp"

namespace sqf {
namespace {

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

/// Tensor after tensor, from what was kept of an earlier run or from the source.
class Conversion {
 public:
  Conversion(const SourceModel& source, const Plan& plan, Writer& writer,
             const std::filesystem::path& target, const ConvertOptions& options)
      : source_(source),
        plan_(plan),
        writer_(writer),
        target_(target),
        options_(options),
        nothing_(plan.inputs.size()),
        choices_(options.choices.empty() ? nothing_ : options.choices),
        hessian_{options.threads, options.behind_rounded, options.gptq,
                 nullptr,         options.journal,        options.spill} {}

  Result<std::vector<TensorReport>> run() {
    const auto rounds = [&](const TensorPlan& t) { return wants_forward(t) && !kept(t); };
    if (std::ranges::any_of(plan_.tensors, rounds)) {
      if (options_.tokens == nullptr)
        return usage_error("GPTQ and the clip search need calibration text");
      auto made = HessianWalk::create(source_, plan_, choices_, *options_.tokens, hessian_);
      if (!made) return made.error();
      walk_ = std::move(*made);
    }
    for (const TensorPlan& t : plan_.tensors)
      if (auto r = convert(t); !r) return r.error();
    return std::move(reports_);
  }

 private:
  bool kept(const TensorPlan& t) const {
    return options_.journal != nullptr && options_.journal->has(t);
  }

  /// Asks whether to go on, with the share of `t` that is done.
  bool go_on(const TensorPlan& t, double share) {
    const auto bytes = static_cast<double>(t.source->bytes.size());
    const auto here = static_cast<uint64_t>(share * bytes);
    if (!stopped_ && options_.progress)
      stopped_ = !options_.progress(done_ + here, plan_.source_bytes, t.spec.name);
    return !stopped_;
  }

  Result<void> convert(const TensorPlan& t) {
    if (t.spec.input >= 0 && t.spec.input != last_input_) {
      last_input_ = t.spec.input;
      const auto index = static_cast<size_t>(last_input_);
      if (auto r = append_input(writer_, plan_.inputs[index], choices_[index]); !r) return r;
    }
    const TensorFold fold = fold_of(plan_, choices_, t);
    TensorChoices given = choices_of(t, fold, choices_);
    auto tensor = kept(t) ? options_.journal->tensor(t) : make(t, given);
    if (!tensor) return tensor.error();
    if (walk_ != nullptr && !stopped_)
      if (auto r = walk_->put(t, fold, given.outliers, *tensor); !r) return r;
    for (const auto component : tensor->components())
      if (auto r = append(writer_, component, [&] { return go_on(t, 1); }); !r) return r;
    if (!go_on(t, 1))
      return Error{Code::interrupted,
                   target_.string() + ": stopped before it was complete; nothing was written", 0};
    release_pages(t.source->bytes);
    if (auto r = report(t, fold, given, *tensor); !r) return r;
    done_ += t.source->bytes.size();
    return {};
  }

  Result<void> report(const TensorPlan& t, const TensorFold& fold, const TensorChoices& given,
                      const EncodedTensor& tensor) {
    TensorReport& told = reports_.emplace_back(TensorReport{t.spec.name, tensor.stats, {}});
    if (tensor.low_rank) {
      told.low_rank_before = tensor.low_rank->error_before;
      told.low_rank_after = tensor.low_rank->error_after;
    }
    if (!options_.quality || !is_coded(t.method)) return {};
    auto quality = measure_tensor(t, fold, given, tensor, options_.threads);
    if (!quality) return quality.error();
    told.quality = *quality;
    return {};
  }

  Result<EncodedTensor> make(const TensorPlan& t, TensorChoices& given) {
    hessian_.go_on = [&] { return go_on(t, 0); };
    if (auto r = prepare(t, walk_.get(), &given); !r) return r.error();
    auto tensor =
        encode_tensor(t, given, options_.threads, [&](double share) { return go_on(t, share); });
    if (!tensor || stopped_ || options_.journal == nullptr) return tensor;
    if (auto r = options_.journal->add(t, *tensor); !r) return r.error();
    return tensor;
  }

  const SourceModel& source_;
  const Plan& plan_;
  Writer& writer_;
  const std::filesystem::path& target_;
  const ConvertOptions& options_;
  const std::vector<InputChoice> nothing_;
  const std::span<const InputChoice> choices_;
  HessianOptions hessian_;
  std::unique_ptr<HessianWalk> walk_;
  std::vector<TensorReport> reports_;
  uint64_t done_ = 0;  ///< source bytes
  int64_t last_input_ = -1;
  bool stopped_ = false;
};

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

  auto tensors = Conversion(source, plan, *writer, target, options).run();
  if (!tensors) return tensors.error();
  const ConvertReport report = {writer->file_size(), std::move(*tensors)};
  const auto header = writer->seal();
  if (!header) return header.error();
  if (options.journal != nullptr)
    if (auto r = options.journal->keep_finished(*header); !r) return r.error();
  if (auto r = writer->put_in_place(); !r) return r.error();
  if (options.journal != nullptr) options.journal->remove();
  return report;
}

}  // namespace sqf
