#include "tests/cuda_emulator/matrix_layouts.hpp"

#include <algorithm>
#include <charconv>

namespace sqf {
namespace {

constexpr FragmentLayout kLayouts[] = {
    // .f16, .bf16
    {16, 8, 4, 2,
     [](int group, int thread, int i) {
       return MatrixSpot{i == 0 || i == 1 ? group : group + 8, thread * 2 + (i & 0x1)};
     },
     [](int group, int thread, int i) {
       return MatrixSpot{thread * 2 + i, group};
     }},
    {16, 16, 8, 4,
     [](int group, int thread, int i) {
       const bool upper = (0 <= i && i < 2) || (4 <= i && i < 6);
       return MatrixSpot{upper ? group : group + 8,
                         i < 4 ? thread * 2 + (i & 0x1) : thread * 2 + (i & 0x1) + 8};
     },
     [](int group, int thread, int i) {
       return MatrixSpot{i < 2 ? thread * 2 + (i & 0x1) : thread * 2 + (i & 0x1) + 8, group};
     }},
    // .tf32
    {32, 4, 2, 1,
     [](int group, int thread, int i) {
       return MatrixSpot{i == 0 ? group : group + 8, thread};
     },
     [](int group, int thread, int) {
       return MatrixSpot{thread, group};
     }},
    {32, 8, 4, 2,
     [](int group, int thread, int i) {
       return MatrixSpot{i == 0 || i == 2 ? group : group + 8,
                         i == 0 || i == 1 ? thread : thread + 4};
     },
     [](int group, int thread, int i) {
       return MatrixSpot{i == 0 ? thread : thread + 4, group};
     }},
    // .s8, .u8, .e4m3, .e5m2
    {8, 16, 8, 4,
     [](int group, int thread, int i) {
       return MatrixSpot{i < 4 ? group : group + 8, thread * 4 + (i & 0x3)};
     },
     [](int group, int thread, int i) {
       return MatrixSpot{thread * 4 + i, group};
     }},
    {8, 32, 16, 8,
     [](int group, int thread, int i) {
       const bool upper = (0 <= i && i < 4) || (8 <= i && i < 12);
       return MatrixSpot{upper ? group : group + 8,
                         i < 8 ? thread * 4 + (i & 0x3) : thread * 4 + (i & 0x3) + 16};
     },
     [](int group, int thread, int i) {
       return MatrixSpot{i < 4 ? thread * 4 + (i & 0x3) : thread * 4 + (i & 0x3) + 16, group};
     }},
    // .s4, .u4
    {4, 32, 16, 8,
     [](int group, int thread, int i) {
       return MatrixSpot{i < 8 ? group : group + 8, thread * 8 + (i & 0x7)};
     },
     [](int group, int thread, int i) {
       return MatrixSpot{thread * 8 + (i & 0x7), group};
     }},
    {4, 64, 32, 16,
     [](int group, int thread, int i) {
       const bool upper = (0 <= i && i < 8) || (16 <= i && i < 24);
       return MatrixSpot{upper ? group : group + 8,
                         i < 16 ? thread * 8 + (i & 0x7) : thread * 8 + (i & 0x7) + 32};
     },
     [](int group, int thread, int i) {
       return MatrixSpot{i < 8 ? thread * 8 + (i & 0x7) : thread * 8 + (i & 0x7) + 32, group};
     }},
    // .b1
    {1, 128, 64, 32,
     [](int group, int thread, int i) {
       return MatrixSpot{i < 32 ? group : group + 8, thread * 32 + (i & 0x1f)};
     },
     [](int group, int thread, int i) {
       return MatrixSpot{thread * 32 + i, group};
     }},
    // For i < 64 the manual prints thread * 32 + i: for i in 32..63 these would be the columns of
    // the next thread once
    // more, and past 128. Taken as i & 0x1f, as for i >= 64, in b and in m16n8k128: each element is
    // held once.
    {1, 256, 128, 64,
     [](int group, int thread, int i) {
       const bool upper = (0 <= i && i < 32) || (64 <= i && i < 96);
       return MatrixSpot{upper ? group : group + 8,
                         i < 64 ? thread * 32 + (i & 0x1f) : thread * 32 + (i & 0x1f) + 128};
     },
     [](int group, int thread, int i) {
       return MatrixSpot{i < 32 ? thread * 32 + (i & 0x1f) : thread * 32 + (i & 0x1f) + 128, group};
     }},
};

const ElementKind kKinds[] = {
    {"f16", 16, 0x3c00, {{0x3c00, 1}, {0xc000, -2}, {0x4200, 3}, {0x3800, 0.5}, {0xb400, -0.25}}},
    {"bf16", 16, 0x3f80, {{0x3f80, 1}, {0xc000, -2}, {0x4040, 3}, {0x3f00, 0.5}, {0xbe80, -0.25}}},
    {"tf32",
     32,
     0x3f800000,
     {{0x3f801fff, 1}, {0xc0000000, -2}, {0x40400001, 3}, {0x3f000000, 0.5}, {0xbe800000, -0.25}}},
    {"e4m3", 8, 0x38, {{0x38, 1}, {0xc0, -2}, {0x44, 3}, {0x30, 0.5}, {0xa8, -0.25}}},
    {"e5m2", 8, 0x3c, {{0x3c, 1}, {0xc0, -2}, {0x42, 3}, {0x38, 0.5}, {0xb4, -0.25}}},
    {"s8", 8, 1, {{0, 0}, {1, 1}, {0x7f, 127}, {0x80, -128}, {0xff, -1}, {0xaa, -86}}},
    {"u8", 8, 1, {{0, 0}, {1, 1}, {0x7f, 127}, {0x80, 128}, {0xff, 255}, {0xaa, 170}}},
    {"s4", 4, 1, {{0, 0}, {1, 1}, {7, 7}, {8, -8}, {15, -1}, {10, -6}}},
    {"u4", 4, 1, {{0, 0}, {1, 1}, {7, 7}, {8, 8}, {15, 15}, {10, 10}}},
    {"b1", 1, 1, {{0, 0}, {1, 1}}},
};

std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> words;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find('.', at), text.size());
    words.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return words;
}

}  // namespace

std::span<const FragmentLayout> fragment_layouts() {
  return kLayouts;
}

const ElementKind* find_kind(std::string_view name) {
  for (const ElementKind& kind : kKinds)
    if (kind.name == name) return &kind;
  return nullptr;
}

NamedInstruction parse_suffix(std::string_view suffix) {
  std::vector<std::string_view> words = split(suffix);
  NamedInstruction named = {};
  named.satfinite = std::erase(words, "satfinite") > 0;
  named.bitwise_xor = std::erase(words, "xor") > 0;
  // m16n8kK row col D A B C
  int k = 0;
  std::from_chars(words[0].data() + 6, words[0].data() + words[0].size(), k);
  named.sum = words[3];
  named.a = find_kind(words[4]);
  named.b = find_kind(words[5]);
  for (const FragmentLayout& layout : kLayouts)
    if (layout.k == k && named.a != nullptr && layout.bits == named.a->bits) named.layout = &layout;
  return named;
}

Registers pack_fragments(const std::vector<uint32_t>& patterns, int columns, int bits, int elements,
                         MatrixSpot (*place)(int group, int thread, int i)) {
  const int per_register = 32 / bits;
  Registers registers(static_cast<size_t>(elements / per_register * 32));
  for (int lane = 0; lane < 32; lane++)
    for (int i = 0; i < elements; i++) {
      const MatrixSpot spot = place(lane >> 2, lane % 4, i);
      registers[static_cast<size_t>(i / per_register * 32 + lane)] |=
          patterns[static_cast<size_t>(spot.row * columns + spot.col)] << i % per_register * bits;
    }
  return registers;
}

Registers pack_accumulators(const std::vector<uint32_t>& patterns, int bits) {
  const int per_register = 32 / bits;
  Registers registers(static_cast<size_t>(4 / per_register * 32));
  for (int lane = 0; lane < 32; lane++)
    for (int i = 0; i < 4; i++) {
      const MatrixSpot spot = accumulator_spot(lane, i);
      registers[static_cast<size_t>(i / per_register * 32 + lane)] |=
          patterns[static_cast<size_t>(spot.row * 8 + spot.col)] << i % per_register * bits;
    }
  return registers;
}

std::vector<uint32_t> unpack_accumulators(const Registers& registers, int bits) {
  const int per_register = 32 / bits;
  const uint32_t mask = bits == 32 ? ~0u : (1u << bits) - 1;
  std::vector<uint32_t> patterns(16 * 8);
  for (int lane = 0; lane < 32; lane++)
    for (int i = 0; i < 4; i++) {
      const MatrixSpot spot = accumulator_spot(lane, i);
      patterns[static_cast<size_t>(spot.row * 8 + spot.col)] =
          registers[static_cast<size_t>(i / per_register * 32 + lane)] >> i % per_register * bits &
          mask;
    }
  return patterns;
}

std::vector<uint32_t> multiply_patterns(const MatrixInstruction& instruction,
                                        const std::vector<uint32_t>& a,
                                        const std::vector<uint32_t>& b,
                                        const std::vector<uint32_t>& c) {
  const NamedInstruction named = parse_suffix(instruction.suffix);
  const FragmentLayout& layout = *named.layout;
  const Registers left = pack_fragments(a, layout.k, layout.bits, layout.a_elements, layout.a);
  const Registers right = pack_fragments(b, 8, layout.bits, layout.b_elements, layout.b);
  const Registers start = pack_accumulators(c, named.accumulator_bits());
  Registers d(start.size(), 0xdeadbeef);
  instruction.run(warp(left), warp(right), warp(start), warp(d));
  return unpack_accumulators(d, named.accumulator_bits());
}

}  // namespace sqf
