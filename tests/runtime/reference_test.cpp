// The whole line on a real model: converted, opened, run, and held to logits that Transformers
// computed in f32 (tests/data/reference/make_reference.py).
#include <cstring>

#include "format/json.hpp"
#include "runtime/engine.hpp"
#include "tests/runtime/real_model.hpp"

namespace sqf {
namespace {

constexpr size_t kPositions = 64, kTop = 16, kSampled = 200;
constexpr double kBound = 1e-3;  // of the position's largest |logit|

struct Reference {
  Json json;
  std::string bytes;
  std::vector<int32_t> sampled;

  static Reference load(const std::string& stem) {
    const std::string base = std::string(SQF_TEST_DATA) + "/reference/" + stem;
    Reference r;
    r.json = *parse_json(read_file(base + ".json"), stem);
    r.bytes = read_file(base + ".bin");
    r.sampled = r.json["sampled_ids"].get<std::vector<int32_t>>();
    return r;
  }
  template <typename T>
  T at(size_t offset) const {
    T value;
    std::memcpy(&value, bytes.data() + offset, sizeof value);
    return value;
  }
};

constexpr size_t kPromptBytes = kPositions * 4 * (1 + kTop + kTop + kSampled);

/// Runs all prompts at once and token by token, and compares every stored logit.
void compare(const std::filesystem::path& path, const std::string& stem) {
  const Reference reference = Reference::load(stem);
  ASSERT_EQ(reference.sampled.size(), kSampled);
  auto file = ModelFile::open(path);
  ASSERT_TRUE(file) << file.error().message;
  auto engine = Engine::create(*file, {.threads = 2, .exact = true, .context = 128});
  ASSERT_TRUE(engine) << engine.error().message;
  double worst = 0;
  int exempted = 0, compared = 0;
  for (size_t p = 0; p < reference.json["prompts"].size(); p++) {
    const auto ids = reference.json["prompts"][p]["ids"].get<std::vector<int32_t>>();
    ASSERT_EQ(ids.size(), kPositions);
    engine->rewind(0);
    ASSERT_TRUE(engine->forward(ids, LogitsOf::all_tokens));
    const size_t base = p * kPromptBytes;
    for (size_t i = 0; i < kPositions; i++) {
      const auto logits = engine->logits(static_cast<int64_t>(i));
      const double largest = reference.at<float>(base + i * 4);
      const size_t top_ids = base + kPositions * 4 + i * kTop * 4;
      const size_t top_logits = top_ids + kPositions * kTop * 4;
      for (size_t j = 0; j < kTop; j++) {
        const auto id = reference.at<uint32_t>(top_ids + j * 4);
        worst = std::max(
            worst,
            std::abs(logits[id] - static_cast<double>(reference.at<float>(top_logits + j * 4))) /
                largest);
      }
      const size_t sampled = base + kPositions * 4 * (1 + 2 * kTop) + i * kSampled * 4;
      for (size_t j = 0; j < kSampled; j++)
        worst =
            std::max(worst, std::abs(logits[static_cast<size_t>(reference.sampled[j])] -
                                     static_cast<double>(reference.at<float>(sampled + j * 4))) /
                                largest);
    }
    // The continuation, token by token on the cache: the reference's token is fed back each time.
    const Json& greedy_tokens = reference.json["prompts"][p]["greedy"];
    for (size_t i = 0; i < greedy_tokens["ids"].size(); i++) {
      const auto logits = i == 0 ? engine->logits(kPositions - 1) : engine->logits();
      const auto token = greedy_tokens["ids"][i].get<int32_t>();
      if (greedy_tokens["margins"][i].get<double>() <=
          kBound * greedy_tokens["max_abs"][i].get<double>()) {
        exempted++;
      } else {
        compared++;
        EXPECT_EQ(std::max_element(logits.begin(), logits.end()) - logits.begin(), token)
            << "prompt " << p << " token " << i;
      }
      ASSERT_TRUE(engine->forward(std::span(&token, 1)));
    }
  }
  for (size_t p = 0; p < 2; p++) {
    const auto ids = reference.json["prompts"][p]["ids"].get<std::vector<int32_t>>();
    engine->rewind(0);
    ASSERT_TRUE(engine->forward(ids));
    const size_t row = 5 * kPromptBytes + p * 49152 * 4;
    const double largest = reference.at<float>(p * kPromptBytes + (kPositions - 1) * 4);
    for (size_t i = 0; i < 49152; i++)
      worst = std::max(worst, std::abs(engine->logits()[i] -
                                       static_cast<double>(reference.at<float>(row + i * 4))) /
                                  largest);
  }
  std::printf("largest difference %.2e of the largest logit; greedy: %d compared, %d exempted\n",
              worst, compared, exempted);
  EXPECT_LE(worst, kBound);
  EXPECT_GT(compared, 100);
}

TEST(Reference, Float16AsItIs) {
  SQF_NEEDS("SQF_SMOLLM2");
  auto path = converted("SQF_SMOLLM2", "none.sqf", method_options(Method::none));
  ASSERT_TRUE(path) << path.error().message;
  compare(*path, "smollm2_f16");
}

TEST(Reference, GgufCarriedOver) {
  SQF_NEEDS("SQF_SMOLLM2_GGUF");
  auto path = converted("SQF_SMOLLM2_GGUF", "keep.sqf", method_options(Method::keep));
  ASSERT_TRUE(path) << path.error().message;
  compare(*path, "smollm2_gguf");
}

}  // namespace
}  // namespace sqf
