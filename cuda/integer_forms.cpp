#include "cuda/integer_forms.hpp"

#include <algorithm>
#include <bit>

namespace sqf {
namespace {

/// Groups that end where so many columns do, or one for the whole row.
bool has_groups_of(const DevicePart& part, int columns) {
  return part.groups == 1 || part.group % columns == 0;
}

/// Affine codes whose planes are all of this radix.
bool has_planes_of(const DevicePart& part, int radix) {
  return part.values == Values::affine && part.plane_count > 0 &&
         std::all_of(part.radices, part.radices + part.plane_count,
                     [&](int32_t r) { return r == radix; });
}

/// Pairs of planes up to which bits are taken: a GPU's rate of one pair, by that of u8 x s8.
int most_pairs(int capability) {
  switch (capability / 10) {
    case 8:
      return 8;  // at no loss, and nothing is unpacked
    case 9:
      return 4;  // bytes have become twice as fast a multiprocessor; nothing says that bits have
    default:
      return 0;  // a function of dozens of instructions
  }
}

}  // namespace

IntegerForms integer_forms(int capability, const DevicePart& part, int bits) {
  if (has_planes_of(part, 2) && has_groups_of(part, kBitColumns / 2) &&
      part.plane_count * activation_planes(bits) <= most_pairs(capability))
    return {FormType::b1, FormType::b1};
  // Twice the rate of u8 x s8 on 8.x; from 9.0 on a function of dozens of instructions. With few
  // tokens memory decides, and the kernels of bytes read the same words.
  if (has_planes_of(part, 16) && part.plane_count == 1 && bits <= 4 && capability / 10 == 8 &&
      has_groups_of(part, kNibbleColumns / 2))
    return {FormType::s8, FormType::s4};
  return {};
}

int32_t activation_planes(int bits) {
  return static_cast<int32_t>(std::bit_ceil(static_cast<unsigned>(bits)));
}

bool few_for_bits(int64_t tokens, int x_planes) {
  return tokens <= 2 * kDecodeTokens && tokens * x_planes <= 8 * kBitBlocks;
}

BitLaunch bit_launch(const MatmulArguments& a, int multiprocessors, int64_t most_splits) {
  const int64_t blocks = (static_cast<int64_t>(a.tokens) * a.x_planes + 7) / 8;
  const int64_t stage = a.part.plane_count * kUnitBytes + blocks * 8 * 32;
  const int64_t results = kDecodeWarps * a.tokens * kResultPitch * 4;
  // As many stages as leave room for two blocks on a multiprocessor.
  const int64_t room = (kBitSharedBytes - results) / kDecodeWarps - kBitWindowBytes;
  const int64_t stages = std::clamp<int64_t>(room / stage, 2, 4);
  const int64_t tiles = (a.part.rows + 15) / 16;
  const int64_t units = (a.part.columns + kBitColumns - 1) / kBitColumns;
  // Two blocks for every multiprocessor, as long as a warp keeps two units.
  const int64_t splits = std::clamp<int64_t>(
      std::min((2 * multiprocessors + tiles - 1) / tiles, units / (2 * kDecodeWarps)), 1,
      most_splits);
  BitLaunch launch;
  launch.shape = {
      static_cast<unsigned>(tiles), static_cast<unsigned>(splits), 32 * kDecodeWarps,
      static_cast<unsigned>(results + kDecodeWarps * (stages * stage + kBitWindowBytes))};
  launch.stages = static_cast<int32_t>(stages);
  launch.blocks = static_cast<int>(std::bit_ceil(static_cast<uint64_t>(blocks)));
  return launch;
}

unsigned narrow_shared(FormType form, int plane_count, int x_planes) {
  const bool bits = form == FormType::b1;
  const int64_t units = bits ? 1 : 2, pieces = 2 * units * (bits ? x_planes : 1);
  const int64_t weights = kPrefillRows / 16 * plane_count * units * kUnitBytes;
  return static_cast<unsigned>(kPrefillStages * (weights + kPrefillTokens * pieces * 16));
}

}  // namespace sqf
