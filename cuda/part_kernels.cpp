#include "cuda/part_kernels.hpp"

#include <algorithm>
#include <bit>
#include <vector>

#include "cuda/kernels/decode_shape.hpp"
#include "format/layout.hpp"

namespace sqf {
namespace {

constexpr int64_t kMaxSplits = 16;
constexpr double kStartSteps = 4;  // what a block's beginning and end cost, in steps of a warp

/// What the kernels for a part are compiled for, as decode_shape.hpp counts widths. `several`:
/// there are some for the sums of planes that the specification gives widths.
int kernel_width(const DevicePart& part, bool integer, bool several) {
  if (part.scale_type == Scales::none) return 16;
  int width = 0;
  for (int p = 0; p < part.plane_count; p++)
    width += std::bit_width(static_cast<unsigned>(part.radices[p])) - 1;
  std::vector<int32_t> usual;
  for (int bits : {8, 4, 2, 1})
    if ((width & bits) != 0) usual.push_back(1 << bits);
  const std::span planes(part.radices, static_cast<size_t>(part.plane_count));
  if (!std::ranges::equal(planes, usual)) return kAnyPlanes;
  if (part.plane_count > 1 && (integer || !several)) return kAnyPlanes;
  if (part.values == Values::affine && !integer) return width;
  if (part.values == Values::table && width != 4) return kAnyPlanes;
  return width == 4 || width == 6 || width == 8 ? width : kAnyPlanes;
}

std::string kernel_name(const char* kind, const DevicePart& part, bool integer, int width,
                        int64_t tokens) {
  std::string name = width == 16 ? "real" : width == kAnyPlanes ? "any" : std::to_string(width);
  if (!integer && width != kAnyPlanes && part.values == Values::table) name = "levels" + name;
  if (!integer && width != kAnyPlanes && part.values == Values::minifloat) name = "float" + name;
  return kind + name + (integer ? "_s8_" : "_f16_") + std::to_string(tokens);
}

/// Several planes by sixteen tokens do not fit the registers.
int decode_width(const DevicePart& part, bool integer, int64_t tokens) {
  return kernel_width(part, integer, tokens <= kFewTokens);
}

int team_for(int64_t tokens) {
  return decode_team(tokens <= kFewTokens ? 1 : 2);
}

/// Blocks along the rows, and how many share the columns of each.
struct DecodeGrid {
  int64_t rows = 0, splits = 1;
};

/// As many splits as take the least time where a multiprocessor has two blocks at a time, a block
/// takes some steps' time to begin and end, and what is split passes through memory once more. A
/// warp keeps four steps.
DecodeGrid decode_grid(std::span<const MatmulArguments> products, bool integer, int64_t tokens,
                       int multiprocessors) {
  const DevicePart& part = products[0].part;
  const int team = team_for(tokens);
  const int64_t block_rows = team * kDecodeRows, at_once = 2 * multiprocessors;
  const int runs = decode_runs(decode_width(part, integer, tokens));
  const int64_t steps = (part.runs + runs - 1) / runs, shares = kDecodeWarps / team;
  DecodeGrid best;
  for (const MatmulArguments& a : products)
    best.rows += (a.part.rows + block_rows - 1) / block_rows;
  double least = 0;
  for (int64_t splits = 1; splits <= kMaxSplits; splits++) {
    if (splits > 1 && steps < 4 * shares * splits) break;
    const int64_t waves = (best.rows * splits + at_once - 1) / at_once;
    const double each = static_cast<double>(steps) / static_cast<double>(shares * splits);
    const double moved = splits == 1 ? 0
                                     : 64.0 * static_cast<double>(splits * tokens) /
                                           (static_cast<double>(part.columns) * part.bits);
    const double cost = static_cast<double>(waves) * (each + kStartSteps) * (1 + moved);
    if (splits == 1 || cost < least) best.splits = splits, least = cost;
  }
  return best;
}

/// Products after the first, as the kernels find them by their blocks.
void add_products(std::span<const MatmulArguments> more, const DecodeGrid& grid, int64_t block_rows,
                  DecodeArguments* to) {
  for (MoreArguments& none : to->more) none.first_block = static_cast<uint32_t>(grid.rows);
  int64_t rows = to->first.part.rows, block = 0;
  for (size_t i = 0; i < more.size(); i++) {
    const MatmulArguments& a = more[i];
    MoreArguments& m = to->more[i];
    block += (rows + block_rows - 1) / block_rows;
    rows = a.part.rows;
    m.first_block = static_cast<uint32_t>(block);
    m.rows = a.part.rows;
    std::copy_n(a.part.planes, kMorePlanes, m.planes);
    m.scales = a.part.scales;
    m.zeros = a.part.zeros;
    m.row_factors = a.part.row_factors;
    m.row_sums = a.row_sums;
    m.bias = a.bias;
    m.y = a.y;
    m.y_stride = a.y_stride;
  }
}

Result<CUfunction> kernel(const Device& device, const std::string& name, unsigned shared_bytes) {
  auto function = device.kernel(name);
  if (!function) return function.error();
  if (auto r = device.allow_shared(*function, shared_bytes); !r) return r.error();
  return *function;
}

}  // namespace

/// Decode: the pipelines of eight warps and of their teams; what they make takes the same place.
unsigned PartKernels::decode_shared(const DevicePart& part, int64_t tokens, bool split) const {
  const bool integer = form_ == PartForm::integers;
  const int width = decode_width(part, integer, tokens), team = team_for(tokens);
  const auto rows = static_cast<int>(split ? 2 * tokens : tokens);
  const int64_t pipelines = kDecodeWarps * decode_weight_bytes(width, part.bits) +
                            kDecodeWarps / team * decode_activation_bytes(width, integer, rows);
  const int64_t windows = width == 16 ? 0 : kDecodeWarps * kWindowBytes;
  const int64_t results = kDecodeWarps / team * tokens * (team * kDecodeRows + 4) * 4;
  return static_cast<unsigned>(std::max(decode_stages(width) * pipelines + windows, results));
}

/// The stages of prefill.cu; `x_rows` are a block's tokens, or the two halves of as many.
unsigned PartKernels::prefill_shared(const MatmulArguments& a, int64_t x_rows) const {
  const bool integer = form_ == PartForm::integers;
  if (integer && integers_.many != FormType::s8)
    return narrow_shared(integers_.many, a.part.plane_count, a.x_planes);
  return static_cast<unsigned>(kPrefillStages * (kPrefillRows / 16 * 128 * a.part.bits +
                                                 x_rows * kStepColumns * (integer ? 1 : 2)));
}

Result<PartKernels> PartKernels::choose(const Device& device, const MatmulArguments& a,
                                        PartForm form, IntegerForms integers) {
  PartKernels k;
  k.form_ = form, k.integers_ = integers;
  const bool integer = form == PartForm::integers;
  const int width = kernel_width(a.part, integer, true);
  const auto prefill_name = [&](int64_t tokens) {
    return kernel_name("prefill_", a.part, integer, width, tokens);
  };
  std::vector<std::tuple<CUfunction*, std::string, unsigned>> wanted;
  if (form == PartForm::plain) {
    wanted.emplace_back(&k.few_, "plain_f32", 0);
  } else if (integer && integers.few == FormType::b1) {
    if (auto r = k.choose_bits(device); !r) return r.error();
    wanted.emplace_back(&k.many_, "prefill_b1", k.prefill_shared(a, kPrefillTokens));
  } else {
    for (const auto& [function, tokens] : {std::pair{&k.few_, kFewTokens}, {&k.some_, kSomeTokens}})
      wanted.emplace_back(
          function,
          kernel_name("decode_", a.part, integer, decode_width(a.part, integer, tokens), tokens),
          k.decode_shared(a.part, tokens, false));
    const bool nibbles = integer && integers.many == FormType::s4;
    wanted.emplace_back(&k.many_, nibbles ? "prefill_s4" : prefill_name(kPrefillTokens),
                        k.prefill_shared(a, kPrefillTokens));
    // Of groups of integers, sums for so many tokens have no room, nor have any planes of halves.
    if (!nibbles && (integer ? a.part.groups == 1 : width != kAnyPlanes))
      wanted.emplace_back(&k.most_, prefill_name(2 * kPrefillTokens),
                          k.prefill_shared(a, 2 * kPrefillTokens));
  }
  for (const auto& [to, name, bytes] : wanted) {
    auto function = kernel(device, name, bytes);
    if (!function) return function.error();
    *to = *function;
  }
  return k;
}

Result<void> PartKernels::choose_bits(const Device& device) {
  for (size_t i = 0; i < bits_.size(); i++) {
    auto function = kernel(device, "decode_b1_" + std::to_string(1 << i), kBitSharedBytes);
    if (!function) return function.error();
    bits_[i] = *function;
  }
  return {};
}

int64_t PartKernels::partial_floats(const Device& device,
                                    std::span<const MatmulArguments> products) const {
  int64_t floats = 0;
  MatmulArguments a = products[0];
  for (a.tokens = 1; a.tokens <= kSomeTokens; a.tokens++) {
    int64_t rows = 0, splits = 1;
    if (bits_[0] != nullptr && few_for_bits(a.tokens, a.x_planes)) {
      const LaunchShape shape = bit_launch(a, device.multiprocessors(), kMaxSplits).shape;
      rows = int64_t{shape.grid_x} * kTileRows, splits = shape.grid_y;
    } else if (decodes(a)) {
      const bool integer = form_ == PartForm::integers;
      const DecodeGrid grid = decode_grid(products, integer, a.tokens, device.multiprocessors());
      rows = grid.rows * team_for(a.tokens) * kDecodeRows, splits = grid.splits;
    }
    if (splits > 1) floats = std::max(floats, splits * rows * a.tokens);
  }
  return floats;
}

Result<void> PartKernels::launch(const Device& device,
                                 std::span<const MatmulArguments> products) const {
  const MatmulArguments& a = products[0];
  if (decodes(a) && decode_width(a.part, form_ == PartForm::integers, a.tokens) != kAnyPlanes)
    return launch_decode(device, products);
  for (const MatmulArguments& one : products)
    if (auto r = launch_one(device, one); !r) return r;
  return {};
}

/// Split activations of more tokens than kSplitTokens leave decoding no room.
bool PartKernels::decodes(const MatmulArguments& a) const {
  return form_ != PartForm::plain && few_ != nullptr && a.tokens <= kSomeTokens &&
         (a.split == 0 || a.tokens <= kSplitTokens);
}

Result<void> PartKernels::launch_decode(const Device& device,
                                        std::span<const MatmulArguments> products) const {
  DecodeArguments all = {};
  const MatmulArguments& a = all.first = products[0];
  const DecodeGrid grid =
      decode_grid(products, form_ == PartForm::integers, a.tokens, device.multiprocessors());
  add_products(products.subspan(1), grid, team_for(a.tokens) * kDecodeRows, &all);
  const LaunchShape shape = {static_cast<unsigned>(grid.rows), static_cast<unsigned>(grid.splits),
                             32 * kDecodeWarps, decode_shared(a.part, a.tokens, a.split != 0)};
  return device.launch(a.tokens <= kFewTokens ? few_ : some_, shape, &all);
}

Result<void> PartKernels::launch_one(const Device& device, MatmulArguments a) const {
  const auto rows = static_cast<unsigned>(a.part.rows);
  if (form_ == PartForm::plain)
    return device.launch(few_, {(rows + 7) / 8, static_cast<unsigned>(a.tokens), 256, 0}, &a);
  if (bits_[0] != nullptr && few_for_bits(a.tokens, a.x_planes)) {
    const BitLaunch launch = bit_launch(a, device.multiprocessors(), kMaxSplits);
    a.stages = launch.stages;
    const auto kernel = static_cast<size_t>(std::countr_zero(static_cast<unsigned>(launch.blocks)));
    return device.launch(bits_[kernel], launch.shape, &a);
  }
  return decodes(a) ? launch_decode(device, std::span(&a, 1)) : launch_many(device, a);
}

/// Blocks of 128 rows of activations where as many fill the GPU, of 64 otherwise; a token whose
/// activations are split takes two rows.
Result<void> PartKernels::launch_many(const Device& device, const MatmulArguments& a) const {
  const int64_t x_rows = a.split != 0 ? 2 * a.tokens : a.tokens;
  const int64_t row_blocks = (a.part.rows + kPrefillRows - 1) / kPrefillRows;
  const auto blocks = [&](int64_t rows) { return (x_rows + rows - 1) / rows; };
  const bool wide = most_ != nullptr && x_rows > kPrefillTokens &&
                    row_blocks * blocks(2 * kPrefillTokens) >= device.multiprocessors();
  const int64_t rows = wide ? 2 * kPrefillTokens : kPrefillTokens;
  return device.launch(wide ? most_ : many_,
                       {static_cast<unsigned>(row_blocks), static_cast<unsigned>(blocks(rows)),
                        32 * kPrefillWarps, prefill_shared(a, rows)},
                       &a);
}

}  // namespace sqf
