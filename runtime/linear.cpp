#include "runtime/linear.hpp"

#include "format/scalar.hpp"
#include "loader/dequantize.hpp"
#include "runtime/cpu/matmul.hpp"

namespace sqf {
namespace {

constexpr uint32_t kAllColumns = kMaxColumnSets;  // no set of the record, but what it is made from

const float* floats(const ModelFile& file, uint32_t component) {
  return component == kNone ? nullptr
                            : reinterpret_cast<const float*>(file.component(component).data());
}

const float* applied_smooth(const ModelFile& file, const InputRecord& input) {
  return input.smooth_state == SmoothState::apply ? floats(file, input.smooth) : nullptr;
}

/// [rows]; `row_sums` as the file has them, or null. The part has an integer kernel.
std::vector<float> weight_sums(const PartView& part, const std::byte* row_sums) {
  const Grouping groups = grouping(part.encoding, part.columns);
  const IntegerLevels levels = *integer_levels(part.encoding);
  std::vector<float> sums;
  std::vector<uint8_t> codes(row_sums == nullptr ? static_cast<size_t>(kTileRows * part.columns)
                                                 : 0);
  for (int64_t row = 0; row < part.rows; row++) {
    const int64_t lane = row % kTileRows;
    if (row_sums == nullptr && lane == 0) unpack_tile(part, row / kTileRows, codes.data());
    double sum = 0;
    for (int64_t g = 0; g < groups.count; g++) {
      const GroupParameters p = group_parameters(part, row, g);
      const int64_t level =
          row_sums != nullptr ? load<int32_t>(row_sums, group_index(groups.count, row, g))
                              : level_sum(part, levels, codes.data() + lane * part.columns, row, g);
      sum += static_cast<double>(p.scale) * static_cast<double>(level) +
             static_cast<double>(p.minimum) * static_cast<double>(groups.size(g));
    }
    sums.push_back(static_cast<float>(sum));
  }
  return sums;
}

LowRankFactor factor(const ModelFile& file, uint32_t values, uint32_t scales, uint64_t rows,
                     uint64_t columns) {
  return {file.component(values).data(), floats(file, scales), static_cast<int64_t>(rows),
          static_cast<int64_t>(columns)};
}

}  // namespace

const Feed* Feeds::keep(const Key& key, Feed feed) {
  if (!feed.moves() && !feed.quantizes()) return nullptr;
  auto& kept = feeds_[key];
  if (kept == nullptr) kept = std::make_unique<Feed>(std::move(feed));
  return kept.get();
}

const Feed* Feeds::of_all(const ModelFile& file, const TensorRecord& tensor) {
  if (tensor.input == kNone) return nullptr;
  const InputRecord& input = file.head().directory.inputs[tensor.input];
  Feed feed;
  feed.count = static_cast<int64_t>(input.columns);
  feed.smooth = applied_smooth(file, input);
  return keep({tensor.input, kAllColumns, kNone}, std::move(feed));
}

Result<const Feed*> Feeds::of_part(const ModelFile& file, const TensorRecord& tensor,
                                   const PartRecord& part) {
  Feed feed;
  feed.count = static_cast<int64_t>(part_columns(file.head().directory, tensor, part));
  feed.factors = floats(file, part.column_factors);
  Key key = {tensor.input, kAllColumns, part.column_factors};
  if (tensor.input == kNone) return keep(key, std::move(feed));
  const InputRecord& input = file.head().directory.inputs[tensor.input];
  feed.set = input.sets[part.column_set];
  feed.smooth = applied_smooth(file, input);
  if (feed.quantizes() || feed.set.kind != ColumnKind::all) std::get<1>(key) = part.column_set;
  if (const auto known = feeds_.find(key); known != feeds_.end()) return known->second.get();
  if (feed.set.kind != ColumnKind::all) {
    const auto columns = columns_of(file, tensor, part);
    if (!columns) return columns.error();
    feed.gather.assign(columns->begin(), columns->end());
  }
  return keep(key, std::move(feed));
}

Result<Linear> load_linear(const ModelFile& file, const TensorView& tensor, Feeds* feeds) {
  const TensorRecord& t = *tensor.record;
  Linear linear;
  linear.rows = static_cast<int64_t>(tensor.shape.rows);
  linear.columns = static_cast<int64_t>(tensor.shape.columns);
  for (uint32_t i = 0; i < t.part_count; i++) {
    const PartRecord& record = file.head().directory.parts[t.part_first + i];
    const auto feed = feeds->of_part(file, t, record);
    if (!feed) return Error(feed.error()).of(tensor.name);
    LinearPart part;
    part.weight = file.part(tensor, i);
    part.feed = *feed;
    const bool offset = part.feed != nullptr && part.feed->set.asymmetric != 0;
    if (offset && has_integer_kernel(part.weight.encoding))
      part.weight_sums = weight_sums(
          part.weight, record.row_sums == kNone ? nullptr : file.component(record.row_sums).data());
    linear.parts.push_back(std::move(part));
  }
  if (t.rank_pair != 0) {
    linear.a = factor(file, t.low_rank_a, t.low_rank_a_scales, tensor.shape.rows, t.rank_pair);
    linear.b = factor(file, t.low_rank_b, t.low_rank_b_scales, t.rank_pair, tensor.shape.columns);
    linear.low_rank_feed = feeds->of_all(file, t);
  }
  linear.bias = floats(file, t.bias);
  return linear;
}

uint64_t bytes_per_token(const ModelFile& file, const TensorView& tensor) {
  const Directory& d = file.head().directory;
  const TensorRecord& t = *tensor.record;
  uint64_t bytes = stored_bytes(d, t);
  for (uint32_t i = t.part_first; i < t.part_first + t.part_count; i++)
    if (d.parts[i].row_sums != kNone)  // read once, when the model is loaded
      bytes -= d.components[d.parts[i].row_sums].size;
  return bytes;
}

}  // namespace sqf
