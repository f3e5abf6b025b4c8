#include "tests/cuda_emulator/recorded_matrix.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>

#include "format/scalar.hpp"

namespace sqf {
namespace {

constexpr size_t kSharedBytes = 2048;

/// Empty: not there, or not words.
Registers words_of(const Json& entry, const char* key) {
  const auto found = entry.find(key);
  if (found == entry.end() || !found->is_string()) return {};
  const auto& text = found->get_ref<const std::string&>();
  Registers words;
  for (size_t at = 0; at + 8 <= text.size(); at += 8) {
    uint32_t word = 0;
    const auto [end, error] = std::from_chars(&text[at], &text[at] + 8, word, 16);
    if (error != std::errc() || end != &text[at] + 8) return {};
    words.push_back(word);
  }
  return text.size() % 8 == 0 ? words : Registers();
}

std::string name_of(const Json& entry) {
  const auto found = entry.find("instruction");
  return found != entry.end() && found->is_string() ? found->get<std::string>() : std::string();
}

/// A matrix of patterns, out of registers.
std::vector<uint32_t> unpack(const Registers& registers, int rows, int columns, int bits,
                             int elements, MatrixSpot (*place)(int, int, int)) {
  std::vector<uint32_t> patterns(static_cast<size_t>(rows * columns));
  const int per_register = 32 / bits;
  for (int lane = 0; lane < 32; lane++)
    for (int i = 0; i < elements; i++) {
      const MatrixSpot spot = place(lane >> 2, lane % 4, i);
      const uint32_t word = registers[static_cast<size_t>(i / per_register * 32 + lane)];
      patterns[static_cast<size_t>(spot.row * columns + spot.col)] =
          word >> (i % per_register * bits);
    }
  return patterns;
}

double element(std::string_view kind, uint32_t pattern) {
  if (kind == "bf16") return bf16_to_f32(static_cast<uint16_t>(pattern));
  if (kind == "tf32") return std::bit_cast<float>(pattern & 0xffffe000u);
  if (kind == "e4m3") return e4m3_to_f32(static_cast<uint8_t>(pattern));
  if (kind == "e5m2") return f16_to_f32(static_cast<uint16_t>((pattern & 0xffu) << 8));
  return f16_to_f32(static_cast<uint16_t>(pattern));
}

double accumulator(int bits, uint32_t pattern) {
  return bits == 16 ? f16_to_f32(static_cast<uint16_t>(pattern)) : std::bit_cast<float>(pattern);
}

/// Both are within k + 1 errors of the exact sum. Ours: half a unit of f32 a sum. The hardware's:
/// the manual promises at least single precision, half for f16 accumulators; a unit each, as it may
/// truncate. Of FP8, "higher than half, lower than single": products aligned to the largest term,
/// of which about 13 bits stay on Hopper.
double tolerance(const NamedInstruction& named, double magnitude, double largest) {
  const double steps = named.layout->k + 1;
  if (named.a->bits == 8) return steps * (0x1p-13 * largest + 0x1p-24 * magnitude);
  return steps * magnitude * (named.sum == "f16" ? 0x1p-10 : 0x1p-23 + 0x1p-24);
}

bool near_enough(const NamedInstruction& named, const Registers& a, const Registers& b,
                 const Registers& c, const Registers& got, const Registers& recorded) {
  const FragmentLayout& layout = *named.layout;
  const int bits = named.accumulator_bits();
  const auto left = unpack(a, 16, layout.k, layout.bits, layout.a_elements, layout.a);
  const auto right = unpack(b, layout.k, 8, layout.bits, layout.b_elements, layout.b);
  const auto start = unpack_accumulators(c, bits);
  const auto ours = unpack_accumulators(got, bits), theirs = unpack_accumulators(recorded, bits);
  for (size_t row = 0; row < 16; row++)
    for (size_t col = 0; col < 8; col++) {
      double magnitude = std::abs(accumulator(bits, start[row * 8 + col])), largest = magnitude;
      for (size_t k = 0; k < static_cast<size_t>(layout.k); k++) {
        const double term =
            std::abs(element(named.a->name, left[row * static_cast<size_t>(layout.k) + k]) *
                     element(named.b->name, right[k * 8 + col]));
        magnitude += term;
        largest = std::max(largest, term);
      }
      const uint32_t x = ours[row * 8 + col], y = theirs[row * 8 + col];
      if (x == y) continue;
      const double distance = std::abs(accumulator(bits, x) - accumulator(bits, y));
      if (!(distance <= tolerance(named, magnitude, largest))) return false;  // NaN: no
    }
  return true;
}

std::string mma_difference(const Json& entry) {
  const MatrixInstruction* instruction = find_mma(name_of(entry));
  if (instruction == nullptr) return "unknown";
  const Registers a = words_of(entry, "a"), b = words_of(entry, "b"), c = words_of(entry, "c");
  const Registers d = words_of(entry, "d");
  const auto is = [](const Registers& r, int count) {
    return r.size() == static_cast<size_t>(count * 32);
  };
  if (!is(a, instruction->a) || !is(b, instruction->b) || !is(c, instruction->c) ||
      !is(d, instruction->d))
    return "not the registers it has";
  Registers got(d.size());
  instruction->run(warp(a), warp(b), warp(c), warp(got));
  const NamedInstruction named = parse_suffix(instruction->suffix);
  if (named.sum == "s32" ? got == d : near_enough(named, a, b, c, got, d)) return {};
  return "another result";
}

std::string memory_difference(const Json& entry, bool load) {
  const std::string name = name_of(entry);
  const size_t at = name.find("matrix_x");
  const Registers offsets = words_of(entry, "offsets"), words = words_of(entry, "words");
  const Registers held = words_of(entry, load ? "d" : "s");
  const bool aligned = std::ranges::all_of(
      offsets, [](uint32_t o) { return o % 16 == 0 && o + 16 <= kSharedBytes; });
  if (at == name.npos || offsets.size() != 32 || !aligned || words.size() * 4 != kSharedBytes ||
      held.size() != 4 * 32)
    return "not what it needs";
  const int matrices = name[at + 8] - '0';
  const bool transposed = name.ends_with("_trans");
  if (matrices != 1 && matrices != 2 && matrices != 4) return "unknown";
  Registers shared = words;
  const auto bytes = reinterpret_cast<uint8_t*>(shared.data());
  uint8_t* rows[32];
  for (size_t lane = 0; lane < 32; lane++) rows[lane] = bytes + offsets[lane];
  if (load) {
    Registers d(held.size());
    ldmatrix(rows, matrices, transposed, warp(d));
    return d == held ? "" : "another result";
  }
  stmatrix(rows, matrices, transposed, warp(held));
  return shared == words_of(entry, "after") ? "" : "another result";
}

}  // namespace

std::string words_to_text(std::span<const uint32_t> words) {
  std::string text;
  for (uint32_t word : words)
    for (int shift = 28; shift >= 0; shift -= 4) text += "0123456789abcdef"[word >> shift & 15];
  return text;
}

std::vector<std::string> differences(const Json& recording) {
  std::vector<std::string> found;
  size_t looked_at = 0;
  for (const char* list : {"mma", "ldmatrix", "stmatrix"}) {
    const auto entries = recording.find(list);
    if (entries == recording.end()) continue;
    for (const Json& entry : *entries) {
      const std::string_view kind = list;
      const std::string difference =
          kind == "mma" ? mma_difference(entry) : memory_difference(entry, kind == "ldmatrix");
      if (!difference.empty())
        found.push_back(std::string(kind) + ' ' + name_of(entry) + ": " + difference);
      looked_at++;
    }
  }
  if (looked_at == 0) found.push_back("nothing recorded");
  return found;
}

}  // namespace sqf
