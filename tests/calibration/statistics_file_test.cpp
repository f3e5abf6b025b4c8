// Statistics go to a file and come back; anything else in the file is refused.
#include "converter/calibration/statistics_file.hpp"

#include <fstream>
#include <limits>

#include "format/hash.hpp"
#include "tests/calibration/random_model.hpp"
#include "tests/loader/sample_file.hpp"

namespace sqf {
namespace {

class StatisticsFile : public testing::Test {
 protected:
  StatisticsFile() {
    double value = 1;
    for (const int64_t columns : input_columns(model_.description)) {
      InputStatistics& input = statistics_.inputs.emplace_back();
      for (int64_t k = 0; k < columns; k++, value += 0.37) {
        input.abs_max.push_back(static_cast<float>(value));
        input.mean_abs.push_back(value / 3);
        input.mean_square.push_back(value * value / 7);
      }
    }
    statistics_.text = {"t.txt", 1000, 0xfedcba9876543210, 0, 60, 0, 30, 50, 400};
    statistics_.windows = 3;
    statistics_.length = 100;
    auto r = save_statistics(statistics_, model_.source, model_.description, path_, false);
    EXPECT_TRUE(r) << r.error().message;
    std::ifstream in(path_, std::ios::binary);
    bytes_.assign(std::istreambuf_iterator<char>(in), {});
  }

  void put(const std::string& bytes) const { std::ofstream(path_, std::ios::binary) << bytes; }
  /// With a hash that is right.
  void put_sealed(std::string bytes) const {
    const uint64_t hash = hash_bytes(std::as_bytes(std::span(bytes).first(bytes.size() - 8)));
    std::memcpy(bytes.data() + bytes.size() - 8, &hash, 8);
    put(bytes);
  }
  Result<Statistics> load() const {
    return load_statistics(path_, model_.source, model_.description);
  }
  std::string refusal() const {
    const auto r = load();
    return r ? "" : r.error().message;
  }

  RandomModel model_{Json::object()};
  Statistics statistics_;
  const TemporaryFolder folder_;
  const std::filesystem::path path_ = folder_ / "stats.sqc";
  std::string bytes_;
};

TEST_F(StatisticsFile, ComesBackAsItWas) {
  auto read = load();
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->text, statistics_.text);
  EXPECT_EQ(read->count(), 300);
  ASSERT_EQ(read->inputs.size(), statistics_.inputs.size());
  for (size_t i = 0; i < read->inputs.size(); i++) {
    EXPECT_EQ(read->inputs[i].abs_max, statistics_.inputs[i].abs_max);
    EXPECT_EQ(read->inputs[i].mean_abs, statistics_.inputs[i].mean_abs);
    EXPECT_EQ(read->inputs[i].mean_square, statistics_.inputs[i].mean_square);
  }
  EXPECT_FALSE(save_statistics(statistics_, model_.source, model_.description, path_, false));
  EXPECT_TRUE(save_statistics(statistics_, model_.source, model_.description, path_, true));
}

TEST_F(StatisticsFile, EveryFlippedByteIsFound) {
  const RandomModel& model = model_;
  for (size_t at = 0; at < bytes_.size(); at++) {
    std::fstream file(path_, std::ios::binary | std::ios::in | std::ios::out);
    const auto change = [&](char c) {
      file.seekp(static_cast<std::streamoff>(at));
      file.put(c);
      file.flush();
    };
    change(static_cast<char>(bytes_[at] ^ (1 << at % 8)));
    const auto r = load_statistics(path_, model.source, model.description);
    ASSERT_FALSE(r) << at;
    ASSERT_EQ(r.error().code, Code::malformed) << at;
    change(bytes_[at]);
  }
  EXPECT_TRUE(load());
}

TEST_F(StatisticsFile, CutsAndExtensionsAreFound) {
  for (size_t size = 0; size < bytes_.size(); size += size < 64 ? 1 : 97) {
    put(bytes_.substr(0, size));
    ASSERT_FALSE(load()) << size;
  }
  put(bytes_ + "x");
  EXPECT_FALSE(load());
  put("");
  EXPECT_FALSE(load());
}

TEST_F(StatisticsFile, RefusesAnotherModelByWhatDiffers) {
  const auto with = [&](const RandomModel& other) {
    const auto r = load_statistics(path_, other.source, other.description);
    if (r) return std::string();
    EXPECT_EQ(r.error().code, Code::usage);
    return r.error().message;
  };
  const std::string start = path_.string() + ": statistics of another model: ";
  EXPECT_EQ(with(RandomModel(Json{{"rope_theta", 500.0}})),
            start + "\"rope/theta\" is 10000.0 in them, here 500.0");
  EXPECT_EQ(with(RandomModel(Json{{"intermediate_size", 128}})),
            start + "\"intermediate_size\" is 96 in them, here 128");
  // Another training of the same architecture.
  const std::string message = with(RandomModel(Json::object(), 2));
  EXPECT_EQ(message.find(start + "tensor \"lm_head.weight\" is \""), 0u) << message;
  RandomModel more(Json::object());
  more.source.tensors.front().name = "another";
  EXPECT_EQ(with(more), start + "tensor \"another\" is not in them");
  more.source.tensors.erase(more.source.tensors.begin());
  EXPECT_EQ(with(more), start + "tensor \"lm_head.weight\" is in them alone");
  EXPECT_EQ(with(RandomModel(Json::object())), "");
}

/// Files whose hash is right and whose contents are not.
TEST_F(StatisticsFile, RefusesHostileContents) {
  const auto changed = [&](size_t at, auto value) {
    std::string bytes = bytes_;
    std::memcpy(bytes.data() + at, &value, sizeof value);
    put_sealed(bytes);
    return refusal();
  };
  EXPECT_NE(changed(8, uint32_t{2}).find("has version 2"), std::string::npos);
  EXPECT_NE(changed(12, ~uint32_t{0}).find("JSON reaches past"), std::string::npos);
  EXPECT_NE(changed(16, ~uint64_t{0}).find("says it has"), std::string::npos);
  EXPECT_NE(changed(12, uint32_t{0}), "");
  const size_t mean_square = bytes_.size() - 16;
  for (const double bad :
       {-1.0, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()})
    EXPECT_NE(changed(mean_square, bad).find("input 12 has a number"), std::string::npos);
  EXPECT_EQ(changed(mean_square, 2.0), "");

  uint32_t size = 0;
  std::memcpy(&size, bytes_.data() + 12, 4);
  const Json good = Json::parse(bytes_.substr(24, size));
  const auto with_json = [&](const std::string& text) {
    std::string bytes = bytes_.substr(0, 24) + text + bytes_.substr(24 + size);
    const auto length = static_cast<uint32_t>(text.size());
    const uint64_t all = bytes.size();
    std::memcpy(bytes.data() + 12, &length, 4);
    std::memcpy(bytes.data() + 16, &all, 8);
    put_sealed(bytes);
    return refusal();
  };
  EXPECT_EQ(with_json(good.dump()), "");
  EXPECT_NE(with_json("[]"), "");
  EXPECT_NE(with_json("{"), "");
  for (const auto& item : good.items())
    for (const Json& bad : {Json(), Json(-1), Json("x"), Json::array(), Json::object()}) {
      Json broken = good;
      broken[item.key()] = bad;
      EXPECT_NE(with_json(broken.dump()), "") << item.key() << " " << bad;
    }
  // A channel more than the model has.
  put_sealed([&] {
    std::string bytes = bytes_ + std::string(20, '\0');
    const uint64_t all = bytes.size();
    std::memcpy(bytes.data() + 16, &all, 8);
    return bytes;
  }());
  EXPECT_NE(refusal().find("has not the"), std::string::npos);
}

}  // namespace
}  // namespace sqf
