#include "converter/tensor_job.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <mutex>
#include <system_error>
#include <thread>

#include "converter/gguf_blocks.hpp"
#include "format/scalar.hpp"

namespace sqf {
namespace {

/// First value of `w` that is no finite number, as an offset.
std::optional<int64_t> not_finite(std::span<const float> w) {
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

/// out [rows][columns.size()]
void gather(const float* w, int64_t rows, int64_t stride, std::span<const uint32_t> columns,
            float* out) {
  for (int64_t row = 0; row < rows; row++)
    for (const uint32_t k : columns) *out++ = w[row * stride + k];
}

/// Parts and row sums of a tensor with so many outlier columns, all 0.
void add_parts(const TensorPlan& plan, int64_t outliers, EncodedTensor* out) {
  const int64_t rows = plan.spec.rows, base = plan.spec.columns - outliers;
  out->parts.push_back(allocate_part(plan.encoding, rows, base));
  if (outliers > 0)
    out->parts.push_back(allocate_part(real_encoding(Element::f16), rows, outliers));
  if (plan.row_sums)
    out->row_sums.resize(component_bytes(
        row_sum_shape(plan.encoding, 1, static_cast<uint64_t>(rows), static_cast<uint64_t>(base))));
}

class TensorJob {
 public:
  TensorJob(const TensorPlan& plan, const TensorChoices& choices)
      : plan_(plan), choices_(choices), base_(base_columns(plan.spec.columns, choices.outliers)) {
    add_parts(plan, static_cast<int64_t>(choices_.outliers.size()), &out_);
    for (const uint32_t k : base_)
      if (!choices.importance.empty()) importance_.push_back(choices.importance[k]);
  }

  Result<EncodedTensor> run(int threads, const std::function<bool(double)>& go_on) {
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
    if (stopped_) return std::move(out_);
    if (auto r = read_bias(); !r) return r.error();
    if (plan_.low_rank.rank > 0)
      if (auto r = compensate(); !r) return r.error();
    return std::move(out_);
  }

 private:
  void work(int64_t tiles, const std::function<bool(double)>& go_on) {
    QuantizeStats stats;
    try {
      for (int64_t tile = next_++; tile < tiles; tile = next_++) {
        if (!encode(tile, stats)) break;
        const double share = static_cast<double>(tile) / static_cast<double>(tiles);
        if (go_on && !go_on(share)) {
          stopped_ = true;
          next_ = tiles;
        }
      }
    } catch (const std::exception& e) {
      const std::lock_guard lock(mutex_);
      if (!problem_) problem_ = io_error("tensor \"" + plan_.spec.name + "\": " + e.what());
      next_ = tiles;
    }
    const std::lock_guard lock(mutex_);
    out_.stats.add(stats);
  }

  /// w [count][K] as it is to be rounded: read, checked, folded.
  bool read(int64_t row, int64_t count, float* w) {
    const int64_t columns = plan_.spec.columns;
    read_rows(*plan_.source, row, count, w);
    const auto at = not_finite({w, static_cast<size_t>(count * columns)});
    if (at)
      return refuse(row + *at / columns, " column " + std::to_string(*at % columns) + " is " +
                                             (std::isnan(w[*at]) ? "NaN" : "infinite"));
    for (int64_t i = 0; i < count; i++) {
      float* const values = w + i * columns;
      if (!choices_.columns.empty())
        for (size_t k = 0; k < choices_.columns.size(); k++) values[k] *= choices_.columns[k];
      if (!choices_.rows.empty())
        for (int64_t k = 0; k < columns; k++)
          values[k] /= choices_.rows[static_cast<size_t>(row + i)];
    }
    return true;
  }

  /// The first row with something wrong is the one that is told. Ends the work; returns false.
  bool refuse(int64_t row, const std::string& what) {
    const std::lock_guard lock(mutex_);
    if (!problem_ || row < problem_row_) {
      problem_row_ = row;
      problem_ = malformed("tensor \"" + plan_.spec.name + "\" row " + std::to_string(row) + what);
    }
    next_ = tiles_of(plan_.spec.rows);
    return false;
  }

  bool encode(int64_t tile, QuantizeStats& stats) {
    const int64_t row = tile * kTileRows, columns = plan_.spec.columns;
    const int64_t rows = std::min<int64_t>(kTileRows, plan_.spec.rows - row);
    if (plan_.method == Method::keep) return keep(tile, row, rows);
    std::vector<float> w(static_cast<size_t>(rows * columns));
    if (!read(row, rows, w.data())) return false;
    PartBuffers& base = out_.parts[0];
    if (plan_.method == Method::none) {
      store_rows(w.data(), row, rows, &base, &stats);
      return true;
    }
    const QuantizeOptions options = {plan_.range,
                                     importance_.empty() ? nullptr : importance_.data(),
                                     choices_.grams.empty() ? nullptr : choices_.grams.data()};
    std::vector<float> kept(static_cast<size_t>(rows) * choices_.outliers.size());
    gather(w.data(), rows, columns, choices_.outliers, kept.data());
    if (plan_.method == Method::gptq) {
      gptq_tile(w.data(), tile, rows, *choices_.gptq, options, &base,
                kept.empty() ? nullptr : kept.data(), &stats);
    } else if (choices_.outliers.empty()) {
      quantize_tile(w.data(), tile, rows, options, &base, &stats);
    } else {
      std::vector<float> rest(static_cast<size_t>(rows) * base_.size());
      gather(w.data(), rows, columns, base_, rest.data());
      quantize_tile(rest.data(), tile, rows, options, &base, &stats);
    }
    if (!kept.empty()) store_rows(kept.data(), row, rows, &out_.parts[1], &stats);
    if (!out_.row_sums.empty()) sum_rows(tile, rows);
    return true;
  }

  void sum_rows(int64_t tile, int64_t rows) {
    const PartView part = out_.parts[0].view();
    const int64_t groups = grouping(part.encoding, part.columns).count;
    const IntegerLevels levels = *integer_levels(part.encoding);
    std::vector<uint8_t> codes(static_cast<size_t>(kTileRows * part.columns));
    unpack_tile(part, tile, codes.data());
    for (int64_t lane = 0; lane < rows; lane++)
      for (int64_t group = 0; group < groups; group++) {
        const int64_t row = tile * kTileRows + lane;
        const auto sum = static_cast<int32_t>(
            level_sum(part, levels, codes.data() + lane * part.columns, row, group));
        std::memcpy(out_.row_sums.data() + 4 * group_index(groups, row, group), &sum, 4);
      }
  }

  /// The source's own codes; weights are finite where their scales and minimums are.
  bool keep(int64_t tile, int64_t row, int64_t count) {
    const int64_t columns = plan_.spec.columns;
    const BlockFormat& format = block_format(plan_.source->type);
    std::vector<KeptGroup> kept(static_cast<size_t>(count * columns / kGroupColumns));
    BlockGroup groups[kMaxGroupsOfBlock];
    auto to = kept.begin();
    for (int64_t i = 0; i < count; i++) {
      const std::byte* block = row_bytes(*plan_.source, row + i).data();
      for (int64_t k = 0; k < columns; k += format.columns, block += format.bytes) {
        format.unpack(block, groups);
        for (int g = 0; g < format.columns / kGroupColumns; g++, to++) {
          to->scale = f32_to_f16(groups[g].scale);
          if (format.has_minimum) to->minimum = f32_to_f16(groups[g].minimum);
          if (!std::isfinite(f16_to_f32(to->scale)) || !std::isfinite(f16_to_f32(to->minimum)))
            return refuse(row + i, " column " + std::to_string(k + g * kGroupColumns) +
                                       " begins a group whose scale or minimum is no finite f16");
          std::copy_n(groups[g].codes, kGroupColumns, to->codes);
        }
      }
    }
    keep_tile(kept, tile, count, &out_.parts[0]);
    return true;
  }

  Result<void> read_bias() {
    if (plan_.bias == nullptr) return {};
    out_.bias.resize(static_cast<size_t>(column_count(*plan_.bias)));
    read_rows(*plan_.bias, 0, 1, out_.bias.data());
    if (const auto at = not_finite(out_.bias))
      return malformed("tensor \"" + plan_.bias->name + "\" element " + std::to_string(*at) +
                       " is not finite");
    for (size_t row = 0; row < choices_.rows.size(); row++) out_.bias[row] /= choices_.rows[row];
    return {};
  }

  /// The low-rank pair of what rounding lost.
  Result<void> compensate() {
    const int64_t rows = plan_.spec.rows, columns = plan_.spec.columns;
    std::vector<float> error(static_cast<size_t>(rows * columns)), rounded(error.size());
    read(0, rows, error.data());  // was read before, so it is finite
    decode_tensor(plan_, choices_.outliers, out_, rounded.data());
    for (size_t i = 0; i < error.size(); i++) error[i] -= rounded[i];
    auto pair = low_rank_pair(
        error, rows, columns,
        choices_.low_rank_weights.empty() ? nullptr : choices_.low_rank_weights.data(),
        plan_.low_rank);
    if (!pair) return Error(pair.error()).of(plan_.spec.name);
    out_.low_rank = std::move(*pair);
    return {};
  }

  const TensorPlan& plan_;
  const TensorChoices& choices_;
  const std::vector<uint32_t> base_;  ///< columns that are no outliers
  std::vector<float> importance_;     ///< of the base columns
  std::atomic<int64_t> next_ = 0;
  std::atomic<bool> stopped_ = false;
  std::mutex mutex_;
  std::optional<Error> problem_;
  int64_t problem_row_ = 0;  ///< the lowest tile's problem is told, whichever thread met one first
  EncodedTensor out_;
};

}  // namespace

TensorChoices choices_of(const TensorPlan& plan, const TensorFold& fold,
                         std::span<const InputChoice> inputs) {
  TensorChoices choices;
  choices.columns = fold.columns;
  choices.rows = fold.rows;
  choices.importance = fold.importance;
  if (plan.outliers > 0) choices.outliers = inputs[static_cast<size_t>(plan.spec.input)].outliers;
  if (plan.low_rank.rank > 0 && plan.weigh_low_rank)
    for (const float square : fold.importance)
      choices.low_rank_weights.push_back(std::sqrt(square));
  return choices;
}

std::vector<std::span<const std::byte>> EncodedTensor::components() const {
  std::vector<std::span<const std::byte>> out;
  for (size_t i = 0; i < parts.size(); i++) {
    const PartBuffers& part = parts[i];
    out.insert(out.end(), part.planes.begin(), part.planes.end());
    out.insert(out.end(), {part.scales, part.row_factors, part.zeros});
    if (i == 0) out.push_back(row_sums);
  }
  if (low_rank)
    out.insert(out.end(), {low_rank->a, low_rank->b, std::as_bytes(std::span(low_rank->a_scales)),
                           std::as_bytes(std::span(low_rank->b_scales))});
  out.push_back(std::as_bytes(std::span(bias)));
  std::erase_if(out, [](std::span<const std::byte> bytes) { return bytes.empty(); });
  return out;
}

EncodedTensor room_for(const TensorPlan& plan) {
  EncodedTensor out;
  const int64_t rows = plan.spec.rows;
  add_parts(plan, plan.outliers, &out);
  if (plan.low_rank.rank > 0) {
    const int64_t rank = std::min({plan.low_rank.rank, rows, plan.spec.columns});
    out.low_rank = low_rank_room(rows, plan.spec.columns, rank, plan.low_rank.type);
  }
  if (plan.bias != nullptr) out.bias.resize(static_cast<size_t>(column_count(*plan.bias)));
  return out;
}

Result<EncodedTensor> encode_tensor(const TensorPlan& plan, const TensorChoices& choices,
                                    int threads, const std::function<bool(double)>& go_on) {
  return TensorJob(plan, choices).run(threads, go_on);
}

void decode_tensor(const TensorPlan& plan, std::span<const uint32_t> outliers,
                   const EncodedTensor& tensor, float* w) {
  const int64_t rows = plan.spec.rows, columns = plan.spec.columns;
  const std::vector<uint32_t> base = base_columns(columns, outliers);
  const std::span<const uint32_t> places[] = {base, outliers};
  for (size_t i = 0; i < tensor.parts.size(); i++) {
    const PartView part = tensor.parts[i].view();
    std::vector<float> values(static_cast<size_t>(kTileRows * part.columns));
    for (int64_t row = 0; row < rows; row++) {
      if (row % kTileRows == 0) decode_tile(part, row / kTileRows, values.data());
      const float* from = values.data() + row % kTileRows * part.columns;
      for (const uint32_t k : places[i]) w[row * columns + k] = *from++;
    }
  }
  if (tensor.low_rank) add_low_rank(*tensor.low_rank, rows, columns, w);
}

}  // namespace sqf
