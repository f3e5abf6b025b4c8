#include "loader/dequantize.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "format/rules.hpp"
#include "format/scalar.hpp"

namespace sqf {
namespace {

constexpr uint64_t kTile = kTileRows;

Result<std::vector<uint64_t>> read_list(const ModelFile& file, const InputRecord& input,
                                        const ColumnSetRecord& set) {
  const auto bytes = file.component(set.columns);
  if (auto r = file.touch(bytes); !r) return r.error();
  std::vector<uint64_t> columns(set.count);
  uint64_t next = 0;
  for (uint64_t i = 0; i < set.count; i++) {
    columns[i] = load<uint32_t>(bytes.data(), static_cast<int64_t>(i));
    if (columns[i] < next || columns[i] >= input.columns)
      return broken(Rule::column_list,
                    "entry " + std::to_string(i) + " is " + std::to_string(columns[i]));
    next = columns[i] + 1;
  }
  return columns;
}

Result<std::vector<uint64_t>> read_rest(const ModelFile& file, const InputRecord& input,
                                        const ColumnSetRecord& set) {
  std::vector<bool> listed(input.columns);
  for (size_t s = 0; s < input.set_count; s++) {
    if (input.sets[s].kind != ColumnKind::list) continue;
    const auto list = read_list(file, input, input.sets[s]);
    if (!list) return list.error();
    for (uint64_t column : *list) listed[column] = true;
  }
  std::vector<uint64_t> columns;
  columns.reserve(set.count);
  for (uint64_t column = 0; column < input.columns; column++)
    if (!listed[column]) columns.push_back(column);
  if (columns.size() != set.count)  // two lists share a column
    return broken(Rule::column_list, "the lists leave " + std::to_string(columns.size()) +
                                         " columns, the rest has " + std::to_string(set.count));
  return columns;
}

/// Touches what rows first .. first + count - 1 of an expert have in a component, where `rows` of
/// them make up one expert's share.
Result<void> touch_rows(const ModelFile& file, uint32_t component, const MatrixShape& m,
                        uint64_t expert, uint64_t rows, uint64_t first, uint64_t count) {
  if (component == kNone) return {};
  const auto bytes = file.component(component);
  const uint64_t share = bytes.size() / m.experts, each = share / rows;
  return file.touch(bytes.subspan(expert * share + first * each, count * each));
}

/// The same for the tiles that such rows are in.
Result<void> touch_tiles(const ModelFile& file, uint32_t component, const MatrixShape& m,
                         uint64_t expert, uint64_t rows, uint64_t first, uint64_t count) {
  const uint64_t begin = first / kTile, end = (first + count + kTile - 1) / kTile;
  return touch_rows(file, component, m, expert, (rows + kTile - 1) / kTile, begin, end - begin);
}

Result<void> touch_part(const ModelFile& file, const PartRecord& part, const MatrixShape& m,
                        const RowRange& r) {
  std::vector<uint32_t> components(part.planes.begin(), part.planes.end());
  components.insert(components.end(), {part.scales, part.row_factors, part.zeros});
  for (uint32_t component : components)
    if (auto ok = touch_tiles(file, component, m, r.expert, m.rows, r.begin, r.count); !ok)
      return ok;
  return {};
}

/// Calls add(row within the range, its values [part.columns]), decoding whole tiles where the range
/// covers one.
template <typename Add>
void each_row(const PartView& part, const RowRange& r, Add add) {
  const auto columns = static_cast<size_t>(part.columns);
  const uint64_t end = r.begin + r.count, rows = static_cast<uint64_t>(part.rows);
  std::vector<float> values;
  for (uint64_t row = r.begin; row < end;) {
    const bool whole = row % kTile == 0 && std::min(row + kTile, rows) <= end && row + 1 < end;
    const uint64_t count = whole ? std::min(row + kTile, rows) - row : 1;
    values.resize(std::max(values.size(), (whole ? kTile : 1) * columns));
    if (whole)
      decode_tile(part, static_cast<int64_t>(row / kTile), values.data());
    else
      decode_row(part, static_cast<int64_t>(row), values.data());
    for (uint64_t i = 0; i < count; i++) add(row + i - r.begin, values.data() + i * columns);
    row += count;
  }
}

Result<void> add_part(const ModelFile& file, const TensorView& tensor, uint32_t index,
                      const RowRange& r, float* out) {
  const Directory& d = file.head().directory;
  const PartRecord& record = d.parts[tensor.record->part_first + index];
  const PartView part = file.part(tensor, index, r.expert);
  if (auto ok = touch_part(file, record, tensor.shape, r); !ok) return ok;
  const auto columns = columns_of(file, *tensor.record, record);
  if (!columns) return columns.error();
  const float* factors = nullptr;
  if (record.column_factors != kNone) {
    const auto bytes = file.component(record.column_factors);
    if (auto ok = file.touch(bytes); !ok) return ok;
    factors = reinterpret_cast<const float*>(bytes.data());
  }
  const uint64_t* place = columns->data();
  const size_t count = columns->size();
  each_row(part, r, [&](uint64_t row, float* values) {
    float* to = out + row * tensor.shape.columns;
    if (factors != nullptr)
      for (size_t j = 0; j < count; j++) values[j] = values[j] * factors[j];
    for (size_t j = 0; j < count; j++) to[place[j]] = to[place[j]] + values[j];
  });
  return {};
}

/// One expert's factor of the low-rank pair: rows of f16, or of i8 with a scale each.
struct Factor {
  ValueLayout layout;
  int64_t columns;
  const std::byte* values;
  const std::byte* scales;  ///< i8 only

  void row(uint64_t index, float* out) const {
    const auto row = static_cast<int64_t>(index);
    const float scale = scales == nullptr ? 1 : load<float>(scales, row);
    for (int64_t k = 0; k < columns; k++) {
      const std::byte* at = values + layout.offset(row, k);
      out[k] = scales == nullptr ? f16_to_f32(load<uint16_t>(at))
                                 : static_cast<float>(load<int8_t>(at)) * scale;
    }
  }
};

Result<Factor> factor(const ModelFile& file, uint32_t component, uint32_t scales,
                      const MatrixShape& m, uint64_t expert, uint64_t rows, uint64_t first,
                      uint64_t count) {
  if (auto ok = touch_tiles(file, component, m, expert, rows, first, count); !ok) return ok.error();
  if (auto ok = touch_rows(file, scales, m, expert, rows, first, count); !ok) return ok.error();
  const ComponentRecord& c = file.head().directory.components[component];
  const auto columns = static_cast<int64_t>(c.cols);
  return Factor{
      ValueLayout(c.element, static_cast<int64_t>(rows), columns), columns,
      file.component(component).data() + c.size / m.experts * expert,
      scales == kNone ? nullptr : file.component(scales).data() + expert * rows * sizeof(float)};
}

Result<void> add_low_rank(const ModelFile& file, const TensorView& tensor, const RowRange& r,
                          float* out) {
  const TensorRecord& t = *tensor.record;
  const MatrixShape& m = tensor.shape;
  const uint64_t rank = t.rank_pair, columns = m.columns;
  const auto a =
      factor(file, t.low_rank_a, t.low_rank_a_scales, m, r.expert, m.rows, r.begin, r.count);
  if (!a) return a.error();
  const auto b = factor(file, t.low_rank_b, t.low_rank_b_scales, m, r.expert, rank, 0, rank);
  if (!b) return b.error();
  std::vector<float> wide(rank * columns), narrow(rank), sum(columns);
  for (uint64_t k = 0; k < rank; k++) b->row(k, wide.data() + k * columns);
  for (uint64_t row = 0; row < r.count; row++) {
    a->row(r.begin + row, narrow.data());
    std::fill(sum.begin(), sum.end(), 0.0f);
    for (uint64_t k = 0; k < rank; k++) {
      const float* from = wide.data() + k * columns;
      for (uint64_t j = 0; j < columns; j++) sum[j] = sum[j] + narrow[k] * from[j];
    }
    float* to = out + row * columns;
    for (uint64_t j = 0; j < columns; j++) to[j] = to[j] + sum[j];
  }
  return {};
}

Error out_of_range(const char* what, uint64_t first, uint64_t count, uint64_t limit) {
  return usage_error(std::string(what) + " " + std::to_string(first) +
                     (count > 1 ? " and " + std::to_string(count - 1) + " more" : "") + " of " +
                     std::to_string(limit));
}

}  // namespace

Result<std::vector<uint64_t>> columns_of(const ModelFile& file, const TensorRecord& tensor,
                                         const PartRecord& part) {
  const Directory& d = file.head().directory;
  if (tensor.input != kNone) {
    const InputRecord& input = d.inputs[tensor.input];
    const ColumnSetRecord& set = input.sets[part.column_set];
    if (set.kind == ColumnKind::list) return read_list(file, input, set);
    if (set.kind == ColumnKind::rest) return read_rest(file, input, set);
  }
  std::vector<uint64_t> columns(matrix_shape(tensor).columns);
  std::iota(columns.begin(), columns.end(), uint64_t{0});
  return columns;
}

Result<void> dequantize(const ModelFile& file, const TensorView& tensor, const RowRange& r,
                        float* out) {
  const MatrixShape& m = tensor.shape;
  if (r.expert >= m.experts) return out_of_range("expert", r.expert, 1, m.experts);
  if (r.begin > m.rows || r.count > m.rows - r.begin)
    return out_of_range("row", r.begin, r.count, m.rows);
  if (r.count == 0) return {};
  std::fill_n(out, r.count * m.columns, 0.0f);
  for (uint32_t i = 0; i < tensor.record->part_count; i++)
    if (auto ok = add_part(file, tensor, i, r, out); !ok) return ok;
  if (tensor.record->rank_pair != 0) return add_low_rank(file, tensor, r, out);
  return {};
}

Result<void> effective(const ModelFile& file, const TensorView& tensor, const RowRange& r,
                       float* out) {
  if (auto ok = dequantize(file, tensor, r, out); !ok) return ok;
  if (tensor.record->input == kNone || r.count == 0) return {};
  const InputRecord& input = file.head().directory.inputs[tensor.record->input];
  if (input.smooth_state != SmoothState::apply) return {};
  const auto bytes = file.component(input.smooth);
  if (auto ok = file.touch(bytes); !ok) return ok;
  const auto* smooth = reinterpret_cast<const float*>(bytes.data());
  for (uint64_t row = 0; row < r.count; row++) {
    float* to = out + row * tensor.shape.columns;
    for (uint64_t j = 0; j < tensor.shape.columns; j++) to[j] = to[j] / smooth[j];
  }
  return {};
}

}  // namespace sqf
