#include "converter/convert.hpp"

#include <atomic>
#include <cmath>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>

#include "format/writer.hpp"
#include "model/tokenizer_compile.hpp"

namespace sqf {
namespace {

constexpr const char* kWriterName = "sqconv 1.0.0";

/// First value of `w` that is no finite number, as an offset.
std::optional<int64_t> not_finite(const std::vector<float>& w) {
  // One pass that the compiler vectorises: a sum of zeros is NaN if any value is NaN or infinite.
  float probe[16] = {};
  size_t i = 0;
  for (; i + 16 <= w.size(); i += 16)
    for (size_t lane = 0; lane < 16; lane++) probe[lane] += w[i + lane] * 0.0f;
  for (; i < w.size(); i++) probe[0] += w[i] * 0.0f;
  float sum = 0;
  for (float p : probe) sum += p;
  if (sum == 0) return std::nullopt;
  for (size_t j = 0; j < w.size(); j++)
    if (!std::isfinite(w[j])) return static_cast<int64_t>(j);
  return std::nullopt;
}

/// Encodes one tensor, tiles shared out over threads.
class TensorJob {
 public:
  explicit TensorJob(const TensorPlan& plan)
      : plan_(plan), out_(allocate_part(plan.encoding, plan.spec.rows, plan.spec.columns)) {}

  /// Asks `go_on`, with the share that is done, after each tile of the calling thread.
  Result<void> run(int threads, const std::function<bool(double)>& go_on) {
    const int64_t tiles = tiles_of(plan_.spec.rows);
    {
      std::vector<std::jthread> team;
      try {
        for (int64_t i = 1; i < std::min<int64_t>(threads, tiles); i++)
          team.emplace_back([&] { work(tiles, nullptr); });
      } catch (const std::system_error&) {
        // The threads that there are do it all.
      }
      work(tiles, go_on);
    }
    if (problem_) return *problem_;
    return {};
  }
  const PartBuffers& part() const { return out_; }
  const QuantizeStats& stats() const { return stats_; }

 private:
  void work(int64_t tiles, const std::function<bool(double)>& go_on) {
    QuantizeStats stats;
    try {
      for (int64_t tile = next_++; tile < tiles; tile = next_++) {
        if (!encode(tile, stats)) break;
        const double share = static_cast<double>(tile) / static_cast<double>(tiles);
        if (go_on && !go_on(share)) next_ = tiles;
      }
    } catch (const std::exception& e) {
      const std::lock_guard lock(mutex_);
      if (!problem_) problem_ = io_error("tensor \"" + plan_.spec.name + "\": " + e.what());
      next_ = tiles;
    }
    const std::lock_guard lock(mutex_);
    stats_.add(stats);
  }

  bool encode(int64_t tile, QuantizeStats& stats) {
    const int64_t row = tile * kTileRows, columns = plan_.spec.columns;
    const int64_t rows = std::min<int64_t>(kTileRows, plan_.spec.rows - row);
    std::vector<float> w(static_cast<size_t>(rows * columns));
    read_rows(*plan_.source, row, rows, w.data());
    if (const auto at = not_finite(w)) {
      const std::lock_guard lock(mutex_);
      if (!problem_ || row < problem_row_) {
        problem_row_ = row;
        problem_ = malformed("tensor \"" + plan_.spec.name + "\" row " +
                             std::to_string(row + *at / columns) + " column " +
                             std::to_string(*at % columns) + " is " +
                             (std::isnan(w[static_cast<size_t>(*at)]) ? "NaN" : "infinite"));
      }
      next_ = tiles_of(plan_.spec.rows);
      return false;
    }
    switch (plan_.method) {
      case Method::none:
        store_rows(w.data(), row, rows, &out_, &stats);
        break;
      case Method::rtn:
        quantize_tile(w.data(), tile, rows,
                      {plan_.range, plan_.importance ? plan_.importance->data() : nullptr}, &out_,
                      &stats);
        break;
      case Method::keep:
        keep(tile, row, rows);
        break;
    }
    return true;
  }

  void keep(int64_t tile, int64_t row, int64_t count) {
    std::array<const std::byte*, kTileRows> rows = {};
    for (int64_t i = 0; i < count; i++)
      rows[static_cast<size_t>(i)] = row_bytes(*plan_.source, row + i).data();
    BlockType type = BlockType::q8_0;
    if (plan_.source->type == SourceType::q4_0) type = BlockType::q4_0;
    if (plan_.source->type == SourceType::q4_1) type = BlockType::q4_1;
    keep_tile(type, std::span(rows).first(static_cast<size_t>(count)), tile, &out_);
  }

  const TensorPlan& plan_;
  std::atomic<int64_t> next_ = 0;
  std::mutex mutex_;
  std::optional<Error> problem_;
  int64_t problem_row_ = 0;  ///< the lowest tile's problem is told, whichever thread met one first
  PartBuffers out_;
  QuantizeStats stats_;
};

Directory lay_out(const Plan& plan) {
  DirectoryBuilder builder;
  int64_t last_input = -1;
  uint32_t input = kNone;
  for (const TensorPlan& t : plan.tensors) {
    if (t.spec.input >= 0 && t.spec.input != last_input) {
      input = builder.input(plain_input(static_cast<uint64_t>(t.spec.columns)));
      last_input = t.spec.input;
    }
    std::vector<uint64_t> shape(t.source->shape.begin(), t.source->shape.end());
    builder.tensor(t.spec.name, shape, t.spec.input >= 0 ? input : kNone, t.encoding,
                   t.bias != nullptr);
  }
  return builder.finish();
}

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
Result<void> append_part(Writer& writer, const PartBuffers& part,
                         const std::function<bool()>& go_on) {
  constexpr size_t kPiece = size_t{4} << 20;
  std::vector<std::span<const std::byte>> components(part.planes.begin(), part.planes.end());
  components.insert(components.end(), {part.scales, part.row_factors, part.zeros});
  for (auto rest : components)
    for (; !rest.empty() && go_on(); rest = rest.subspan(std::min(rest.size(), kPiece)))
      if (auto r = writer.append(rest.first(std::min(rest.size(), kPiece))); !r) return r;
  return {};
}

Result<void> append_bias(Writer& writer, const SourceTensor& bias) {
  std::vector<float> values(static_cast<size_t>(column_count(bias)));
  read_rows(bias, 0, 1, values.data());
  if (const auto at = not_finite(values))
    return malformed("tensor \"" + bias.name + "\" element " + std::to_string(*at) +
                     " is not finite");
  return writer.append(std::as_bytes(std::span(values)));
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
  auto writer = Writer::create(target, lay_out(plan), std::move(sections),
                               {.replace = options.replace, .compress = options.compress});
  if (!writer) return writer.error();

  ConvertReport report;
  uint64_t done = 0;
  for (const TensorPlan& t : plan.tensors) {
    const uint64_t bytes = t.source->bytes.size();
    bool stopped = false;
    const auto go_on = [&](double share) {
      const uint64_t here = static_cast<uint64_t>(share * static_cast<double>(bytes));
      if (!stopped && options.progress)
        stopped = !options.progress(done + here, plan.source_bytes, t.spec.name);
      return !stopped;
    };
    TensorJob job(t);
    if (auto r = job.run(options.threads, go_on); !r) return r.error();
    if (!stopped)
      if (auto r = append_part(*writer, job.part(), [&] { return go_on(1); }); !r) return r.error();
    if (t.bias != nullptr && !stopped)
      if (auto r = append_bias(*writer, *t.bias); !r) return r.error();
    if (!go_on(1))
      return Error{Code::interrupted,
                   target.string() + ": stopped before it was complete; nothing was written", 0};
    release_pages(t.source->bytes);
    report.tensors.push_back({t.spec.name, job.stats()});
    done += bytes;
  }
  report.file_bytes = writer->file_size();
  if (auto r = writer->finish(); !r) return r.error();
  return report;
}

}  // namespace sqf
