#include "cuda/weights.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <mutex>
#include <optional>
#include <thread>

#include "format/codes.hpp"
#include "format/scalar.hpp"

namespace sqf {
namespace {

constexpr size_t kChunk = size_t{4} << 20;
constexpr int kReaders = 4;
constexpr size_t kTileBytes = kTileRows * sizeof(float);

constexpr size_t kRangeAlign = 256;

/// Copies chunks in order: a reader fills its half of the ring while the other half travels.
class Upload {
 public:
  Upload(const Device& device, std::span<const Moved> data, std::byte* to)
      : device_(device), to_(to) {
    for (const Moved& m : data)
      for (size_t done = 0; done < m.from.size(); done += kChunk)
        chunks_.push_back(
            {m.from.subspan(done, std::min(kChunk, m.from.size() - done)), m.to + done});
  }

  Result<void> run() {
    std::vector<std::thread> readers;
    for (int i = 1; i < kReaders; i++) readers.emplace_back([this] { read(); });
    read();
    for (std::thread& reader : readers) reader.join();
    if (failure_) return *failure_;
    return {};
  }

 private:
  void read() {
    if (auto r = try_read(); !r) {
      const std::lock_guard lock(mutex_);
      if (!failure_) failure_ = r.error();
    }
  }

  Result<void> try_read() {
    if (auto r = device_.use_here(); !r) return r;
    std::array<PinnedMemory, 2> halves;
    size_t largest = 1;
    for (const Moved& chunk : chunks_) largest = std::max(largest, chunk.from.size());
    for (PinnedMemory& half : halves) {
      auto memory = device_.allocate_pinned(largest);
      if (!memory) return memory.error();
      half = std::move(*memory);
    }
    for (size_t turn = 0;; turn++) {
      size_t index = 0;
      {
        const std::lock_guard lock(mutex_);
        if (failure_ || next_ == chunks_.size()) break;
        index = next_++;
      }
      const Moved& chunk = chunks_[index];
      std::byte* half = halves[turn % 2].as();
      // What this half sent two turns ago has arrived: the stream keeps its order.
      if (turn >= 2)
        if (auto r = device_.wait(); !r) return r;
      std::memcpy(half, chunk.from.data(), chunk.from.size());
      if (auto r = device_.copy_to_device(to_ + chunk.to, half, chunk.from.size()); !r) return r;
    }
    return device_.wait();
  }

  const Device& device_;
  std::byte* to_;
  std::vector<Moved> chunks_;
  std::mutex mutex_;
  size_t next_ = 0;
  std::optional<Error> failure_;
};

Scales scales_of(Element type) {
  switch (type) {
    case Element::f32:
      return Scales::f32;
    case Element::f16:
      return Scales::f16;
    case Element::bf16:
      return Scales::bf16;
    case Element::u8:
      return Scales::u8;
    case Element::none:
      return Scales::none;
    default:
      return Scales::table;
  }
}

Zeros zeros_of(ZeroKind kind) {
  if (kind == ZeroKind::u4) return Zeros::u4;
  if (kind == ZeroKind::u8) return Zeros::u8;
  return kind == ZeroKind::minimum_f16 ? Zeros::minimum : Zeros::constant;
}

std::vector<float> code_values(const EncodingRecord& e) {
  std::vector<float> values(256);
  for (uint32_t code = 0; code < std::min(256u, code_count(e)); code++)
    values[code] = e.grid == Grid::levels ? (code < e.level_count ? e.levels[code] : 0.0f)
                                          : minifloat_value(e, code);
  return values;
}

void place_minifloat(const EncodingRecord& e, DevicePart* part) {
  const uint32_t magnitude = (1u << (e.exponent_bits + e.mantissa_bits)) - 1;
  const int sign = e.exponent_bits + e.mantissa_bits;
  part->magnitude_mask = magnitude * 0x00010001u;
  part->sign_mask = (1u << sign) * 0x00010001u;
  part->magnitude_shift = 10 - e.mantissa_bits;
  part->sign_shift = 15 - sign;
  part->magnitude_factor = static_cast<uint32_t>(15 + (15 - e.exponent_bias)) << 10;
  part->magnitude_factor *= 0x00010001u;
}

bool fits_f16(float value) {
  const float size = std::fabs(value);
  return size == 0 || (size >= 0x1p-14f && size <= 65504.0f);
}

}  // namespace

bool has_tensor_core_form(const EncodingRecord& e) {
  if (e.grid == Grid::real) return e.value_type != Element::f32;
  for (size_t p = 0; p < e.plane_count; p++)
    if (!std::has_single_bit(e.radices[p])) return false;
  if (e.group % kRunColumns != 0 || code_count(e) > 256) return false;
  if (e.grid == Grid::levels) return std::all_of(e.levels.begin(), e.levels.end(), fits_f16);
  if (e.grid != Grid::minifloat) return true;
  // An f16 takes the code's fields as they are, and the factor 2^(15 - bias) is one too.
  if (e.exponent_bits > 4 || std::abs(15 - e.exponent_bias) > 14) return false;
  for (uint32_t code = 0; code < code_count(e); code++) {
    if (!code_has_value(e, code)) continue;
    const float value = minifloat_value(e, code);
    if (f16_to_f32(f32_to_f16(value)) != value) return false;
  }
  return true;
}

Result<DeviceWeights> DeviceWeights::upload(const Device& device, const ModelFile& file,
                                            std::span<const DataRange> ranges) {
  DeviceWeights weights;
  weights.device_ = &device;
  size_t bytes = 0;
  for (const DataRange& range : ranges) {
    bytes = (bytes + kRangeAlign - 1) / kRangeAlign * kRangeAlign;
    weights.moved_.push_back({file.bytes().subspan(range.begin, range.end - range.begin), bytes});
    bytes += range.end - range.begin;
  }
  // Kernels read whole tiles of a low-rank factor's scales: past the last row, perhaps past DATA.
  auto memory = device.allocate(bytes + kTileBytes, "the weights");
  if (!memory) return memory.error();
  weights.data_ = std::move(*memory);
  if (auto r = device.zero(weights.data_.as() + bytes, kTileBytes); !r) return r.error();
  if (auto r = Upload(device, weights.moved_, weights.data_.as()).run(); !r) return r.error();
  return weights;
}

const std::byte* DeviceWeights::place_of(const std::byte* mapped) const {
  const auto after =
      std::upper_bound(moved_.begin(), moved_.end(), mapped,
                       [](const std::byte* p, const Moved& m) { return p < m.from.data(); });
  const Moved& range = *std::prev(after);
  return data_.as() + range.to + (mapped - range.from.data());
}

Result<const std::byte*> DeviceWeights::keep_bytes(const void* from, size_t bytes) {
  auto memory = device_->allocate(bytes, "tables");
  if (!memory) return memory.error();
  if (auto r = device_->copy_to_device(memory->as(), from, bytes); !r) return r.error();
  if (auto r = device_->wait(); !r) return r.error();  // `from` may go
  kept_.push_back(std::move(*memory));
  return kept_.back().as();
}

Result<void> DeviceWeights::place_values(const std::byte* values, DevicePart* part) {
  const int64_t words = (static_cast<int64_t>(part->columns) * part->bits + 31) / 32;
  part->plane_count = 1;
  part->tile_bytes[0] = words * kTileRows * 4;
  part->group = part->columns;
  part->groups = 1;
  part->runs = (part->columns + kRunColumns - 1) / kRunColumns;
  part->runs_per_group = part->runs;
  part->planes[0] = reinterpret_cast<const uint8_t*>(at(values));
  if (part->rows != 1) return {};
  std::vector<uint32_t> row(static_cast<size_t>(words)), tile(row.size() * kTileRows);
  std::memcpy(row.data(), values,
              static_cast<size_t>(part->columns) * static_cast<size_t>(part->bits) / 8);
  for (size_t w = 0; w < row.size(); w++) tile[w * kTileRows] = row[w];
  auto kept = keep(tile);
  if (!kept) return kept.error();
  part->planes[0] = reinterpret_cast<const uint8_t*>(*kept);
  return {};
}

Result<DevicePart> DeviceWeights::part(const PartView& view) {
  const EncodingRecord& e = view.encoding;
  DevicePart part = {};
  part.rows = static_cast<int32_t>(view.rows);
  part.columns = static_cast<int32_t>(view.columns);
  part.scale_type = scales_of(e.scale_type);
  if (e.grid == Grid::real) {
    part.bits = element_bits(e.value_type);
    part.values = e.value_type == Element::bf16 ? Values::bf16 : Values::f16;
    if (auto r = place_values(view.planes[0], &part); !r) return r.error();
    return part;
  }
  const Grouping groups = grouping(e, view.columns);
  part.plane_count = e.plane_count;
  for (size_t p = 0; p < e.plane_count; p++) {
    part.planes[p] = reinterpret_cast<const uint8_t*>(at(view.planes[p]));
    part.tile_bytes[p] = words_per_row(e, e.radices[p], view.columns) * kTileRows * 4;
    part.radices[p] = e.radices[p];
    part.bits += std::bit_width(e.radices[p]) - 1;
  }
  part.scales = reinterpret_cast<const uint8_t*>(at(view.scales));
  part.zeros = reinterpret_cast<const uint8_t*>(at(view.zeros));
  part.row_factors = e.row_factor != 0 ? at(view.row_factors) : nullptr;
  part.zero_kind = zeros_of(e.zero);
  part.zero_constant = static_cast<int32_t>(e.zero_constant);
  part.group = static_cast<int32_t>(groups.length);
  part.groups = static_cast<int32_t>(groups.count);
  part.runs = (part.columns + kRunColumns - 1) / kRunColumns;
  part.runs_per_group = e.group == 0 ? part.runs : static_cast<int32_t>(e.group) / kRunColumns;
  part.values = Values::affine;
  if (part.scale_type == Scales::table) {
    std::vector<float> values(256);
    for (size_t i = 0; i < values.size(); i++)
      values[i] = e.scale_type == Element::e8m0 ? e8m0_to_f32(static_cast<uint8_t>(i))
                                                : e4m3_to_f32(static_cast<uint8_t>(i));
    auto kept = keep(values);
    if (!kept) return kept.error();
    part.scale_values = *kept;
  }
  if (e.grid == Grid::affine) return part;
  part.values = e.grid == Grid::levels ? Values::table : Values::minifloat;
  auto values = keep(code_values(e));
  if (!values) return values.error();
  part.code_values = *values;
  if (e.grid == Grid::minifloat && has_tensor_core_form(e)) place_minifloat(e, &part);
  if (e.grid == Grid::levels) {
    std::vector<uint16_t> levels;
    for (float level : e.levels) levels.push_back(f32_to_f16(level));
    auto kept = keep(levels);
    if (!kept) return kept.error();
    part.levels = *kept;
  }
  return part;
}

Result<DevicePart> DeviceWeights::factor(const LowRankFactor& f) {
  DevicePart part = {};
  const bool codes = f.scales != nullptr;
  part.rows = static_cast<int32_t>(f.rows);
  part.columns = static_cast<int32_t>(f.columns);
  part.bits = codes ? 8 : 16;
  if (auto r = place_values(f.values, &part); !r) return r.error();
  part.values = codes ? Values::affine : Values::f16;
  if (!codes) return part;
  part.radices[0] = 256;
  part.flip = static_cast<int32_t>(0x80808080u);
  part.zero_constant = 128;
  part.scale_type = Scales::f32;
  part.scales = reinterpret_cast<const uint8_t*>(at(f.scales));
  return part;
}

}  // namespace sqf
