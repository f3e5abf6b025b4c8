// Against what real tensor cores made of the same registers, where that has been recorded.
#include "tests/cuda_emulator/recorded_matrix.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

namespace sqf {
namespace {

TEST(RecordedMatrix, IsReproduced) {
  const std::filesystem::path folder = SQF_TEST_DATA "/../cuda_emulator/recorded";
  int recordings = 0;
  std::error_code error;
  for (const auto& file : std::filesystem::directory_iterator(folder, error)) {
    if (file.path().extension() != ".json") continue;
    std::stringstream text;
    text << std::ifstream(file.path()).rdbuf();
    const Result<Json> recording = parse_json(text.str(), file.path().filename().string());
    ASSERT_TRUE(recording.has_value()) << file.path();
    EXPECT_EQ(differences(*recording), std::vector<std::string>()) << file.path();
    recordings++;
  }
  if (recordings == 0) GTEST_SKIP() << "no recording of a real GPU in " << folder;
}

/// Patterns whose values stay near 1 in every type.
Json made_up_mma(const MatrixInstruction& instruction, std::mt19937& random) {
  const NamedInstruction named = parse_suffix(instruction.suffix);
  const auto filled = [&](int registers, const ElementKind& kind) {
    Registers result(static_cast<size_t>(registers * 32));
    for (uint32_t& word : result)
      for (int at = 0; at < 32; at += kind.bits)
        word |= kind.samples[random() % kind.samples.size()].first << at;
    return result;
  };
  const Registers a = filled(instruction.a, *named.a), b = filled(instruction.b, *named.b);
  Registers c(static_cast<size_t>(instruction.c * 32)), d(c.size());
  for (uint32_t& word : c) word = named.sum == "s32" ? static_cast<uint32_t>(random()) : 0;
  instruction.run(warp(a), warp(b), warp(c), warp(d));
  return {{"instruction", instruction.suffix},
          {"a", words_to_text(a)},
          {"b", words_to_text(b)},
          {"c", words_to_text(c)},
          {"d", words_to_text(d)}};
}

/// The first digit of a word: the sign and high exponent bits, where it is floating point.
void damage(Json& entry, const char* key, size_t word) {
  char& digit = entry[key].get_ref<std::string&>()[word * 8];
  digit = digit < '8' ? static_cast<char>(digit + 1) : '2';
}

TEST(RecordedMatrix, FindsEveryWrongResult) {
  std::mt19937 random(1);
  for (const MatrixInstruction& instruction : mma_instructions()) {
    Json recording = {{"mma", {made_up_mma(instruction, random)}}};
    ASSERT_EQ(differences(recording), std::vector<std::string>()) << instruction.suffix;
    damage(recording["mma"][0], "d", random() % static_cast<size_t>(instruction.d * 32));
    ASSERT_EQ(differences(recording).size(), 1u) << instruction.suffix;
  }
}

TEST(RecordedMatrix, AllowsWhatAnotherOrderGivesAndNoMore) {
  std::mt19937 random(2);
  Json recording = {{"mma", {made_up_mma(*find_mma("m16n8k16.row.col.f32.f16.f16.f32"), random)}}};
  std::string& d = recording["mma"][0]["d"].get_ref<std::string&>();
  const std::string exact = d;
  const float value =
      std::bit_cast<float>(static_cast<uint32_t>(std::stoul(exact.substr(0, 8), nullptr, 16)));
  ASSERT_TRUE(std::abs(value) >= 0.25f && std::abs(value) <= 64);
  for (const auto& [relative, allowed] : {std::pair(0x1p-23f, true), std::pair(0x1p-10f, false)}) {
    const uint32_t moved = std::bit_cast<uint32_t>(value * (1 + relative));
    d = words_to_text(std::span(&moved, 1)) + exact.substr(8);
    EXPECT_EQ(differences(recording).empty(), allowed) << relative;
  }
}

TEST(RecordedMatrix, ReadsMemoryInstructions) {
  Registers words(512), offsets(32), d(4 * 32);
  for (size_t i = 0; i < words.size(); i++) words[i] = static_cast<uint32_t>(i * 0x01020305);
  for (size_t lane = 0; lane < 32; lane++)
    offsets[lane] = static_cast<uint32_t>(lane * 7 % 32 * 48);
  // Lane 9 of matrix 2: row 2, third word, of the row that lane 18 points to.
  uint8_t* rows[32];
  Registers shared = words;
  for (size_t lane = 0; lane < 32; lane++)
    rows[lane] = reinterpret_cast<uint8_t*>(shared.data()) + offsets[lane];
  ldmatrix(rows, 4, false, warp(d));
  ASSERT_EQ(d[2 * 32 + 9], words[offsets[18] / 4 + 1]);
  const Json load = {{"instruction", "ldmatrix_x4"},
                     {"words", words_to_text(words)},
                     {"offsets", words_to_text(offsets)},
                     {"d", words_to_text(d)}};
  Registers after(512);
  for (size_t lane = 0; lane < 32; lane++)
    for (size_t i = 0; i < 4; i++) after[offsets[lane] / 4 + i] = words[offsets[lane] / 4 + i];
  const Json store = {{"instruction", "stmatrix_x4"},
                      {"words", words_to_text(Registers(512))},
                      {"offsets", words_to_text(offsets)},
                      {"s", words_to_text(d)},
                      {"after", words_to_text(after)}};
  Json recording = {{"ldmatrix", {load}}, {"stmatrix", {store}}};
  EXPECT_EQ(differences(recording), std::vector<std::string>());
  damage(recording["ldmatrix"][0], "d", 77);
  damage(recording["stmatrix"][0], "after", 4);
  EXPECT_EQ(differences(recording).size(), 2u);
}

TEST(RecordedMatrix, RefusesWhatIsNoRecording) {
  EXPECT_EQ(differences(Json::object()).size(), 1u);
  const Json entries[] = {Json::object(),
                          {{"instruction", 7}},
                          {{"instruction", "m16n8k16.row.col.f32.f16.f16.f32"}, {"a", "00"}},
                          {{"instruction", "m16n8k16.row.col.f32.f16.f16.f32"}, {"a", "zzzzzzzz"}}};
  for (const Json& entry : entries)
    for (const char* list : {"mma", "ldmatrix", "stmatrix"})
      EXPECT_EQ(differences({{list, Json::array({entry})}}).size(), 1u) << list << entry;
}

}  // namespace
}  // namespace sqf
