// Attention on the GPU's kernels against its definition in double precision, with bounds that
// follow from the formats; and how often the cache is read, as the emulator counts it.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <random>

#include "cuda/attention.hpp"
#include "format/json.hpp"
#include "format/scalar.hpp"
#include "tests/loader/sample_file.hpp"

namespace sqf {
namespace {

/// Open until the process ends: the driver may be gone before a static object is.
Device& attention_gpu() {
  static Device* const device = [] {
    auto opened = Device::open();
    if (!opened) {
      ADD_FAILURE() << opened.error().message;
      std::abort();
    }
    return opened->release();
  }();
  return *device;
}

struct Case {
  int64_t heads, kv_heads, dim, context, position, tokens;
  float query_size = 1, key_size = 1;
  bool rising = false;  ///< scores grow with the position: the largest is always the newest
};

std::string describe(const Case& c) {
  return std::to_string(c.heads) + " heads on " + std::to_string(c.kv_heads) + " of " +
         std::to_string(c.dim) + ", " + std::to_string(c.tokens) + " tokens at " +
         std::to_string(c.position) + " of " + std::to_string(c.context);
}

/// Queries [tokens][heads][dim]; keys and values [kv_heads][context][dim], of which those behind
/// the last token are never written.
struct Tensors {
  std::vector<float> q;
  std::vector<uint16_t> keys, values;
};

Tensors random_tensors(const Case& c) {
  std::mt19937 random(static_cast<uint32_t>(c.dim * 1000 + c.tokens * 31 + c.position));
  std::normal_distribution<float> normal;
  Tensors t;
  t.q.resize(static_cast<size_t>(c.tokens * c.heads * c.dim));
  for (float& x : t.q) x = c.query_size * (normal(random) + (c.rising ? 0.5f : 0));
  t.keys.resize(static_cast<size_t>(c.kv_heads * c.context * c.dim));
  t.values.resize(t.keys.size());
  for (size_t i = 0; i < t.keys.size(); i++) {
    const auto at = static_cast<int64_t>(i) / c.dim % c.context;
    const float more = c.rising ? 0.01f * static_cast<float>(at) : 0;
    t.keys[i] = f32_to_f16(c.key_size * (normal(random) + more));
    t.values[i] = f32_to_f16(normal(random));
  }
  return t;
}

/// A kernel's memory for one case, which can be run at several positions.
class Bench {
 public:
  static Result<std::unique_ptr<Bench>> make(const Case& c) {
    auto bench = std::unique_ptr<Bench>(new Bench);
    bench->case_ = c;
    const Device& device = attention_gpu();
    auto attention = Attention::make(device, c.heads, c.kv_heads, c.dim, c.context, c.tokens);
    if (!attention) return attention.error();
    bench->attention_ = std::move(*attention);
    const auto floats = static_cast<size_t>(c.tokens * c.heads * c.dim);
    const auto cached = static_cast<size_t>(c.kv_heads * c.context * c.dim);
    for (const auto& [memory, bytes] : {std::pair{&bench->q_, floats * 4},
                                        {&bench->out_, floats * 4},
                                        {&bench->keys_, cached * 2},
                                        {&bench->values_, cached * 2},
                                        {&bench->position_, size_t{4}}}) {
      auto made = device.allocate(bytes, "a test");
      if (!made) return made.error();
      *memory = std::move(*made);
    }
    return bench;
  }

  /// What the pass at `position` gives; of the cache only what it may read is there.
  Result<std::vector<float>> run(const Tensors& t, int64_t position) {
    const Device& device = attention_gpu();
    const auto first = static_cast<int32_t>(position);
    if (auto r = device.copy_to_device(q_.as(), t.q.data(), t.q.size() * 4); !r) return r.error();
    if (auto r = device.copy_to_device(position_.as(), &first, 4); !r) return r.error();
    const auto written = static_cast<size_t>((position + case_.tokens) * case_.dim);
    for (int64_t head = 0; head < case_.kv_heads; head++) {
      const int64_t at = head * case_.context * case_.dim;
      for (const auto& [to, from] : {std::pair{&keys_, &t.keys}, {&values_, &t.values}}) {
        auto r = device.copy_to_device(to->as<uint16_t>() + at, from->data() + at, written * 2);
        if (!r) return r.error();
      }
    }
    AttentionArguments a = {};
    a.q = q_.as<float>();
    a.keys = keys_.as<uint16_t>();
    a.values = values_.as<uint16_t>();
    a.position = position_.as<int32_t>();
    a.out = out_.as<float>();
    if (auto r = attention_.run(a, case_.tokens); !r) return r.error();
    std::vector<float> out(t.q.size());
    if (auto r = device.copy_to_host(out.data(), out_.as(), out.size() * 4); !r) return r.error();
    if (auto r = device.wait(); !r) return r.error();
    return out;
  }

 private:
  Case case_;
  Attention attention_;
  DeviceMemory q_, out_, keys_, values_, position_;
};

/// What one token and head should be, and how far from it a result may be.
struct Expected {
  std::vector<double> value, bound;
};

/// With u = 2^-24, what f32 rounds by: a query and a weight are two f16, which keep all but 2^-22;
/// a tensor core rounds its sum of 16 products about twice, once for each half of a query. Scores
/// are powers of two of at most 15 more; exponentials are right to 2^-22, and so is what brings a
/// sum to a new largest score, which happens once a strip of 16 at most, and where parts are
/// joined.
Expected expect(const Case& c, const Tensors& t, int64_t position, int64_t token, int64_t head) {
  constexpr double u = 0x1p-24;
  const int64_t seen = position + token + 1, group = c.heads / c.kv_heads;
  const float* q = t.q.data() + (token * c.heads + head) * c.dim;
  const size_t base = static_cast<size_t>(head / group * c.context * c.dim);
  const double root = 1 / std::sqrt(static_cast<double>(c.dim));
  std::vector<double> scores(static_cast<size_t>(seen));
  double most = -INFINITY, magnitude = 0;
  for (int64_t p = 0; p < seen; p++) {
    double sum = 0, size = 0;
    for (int64_t i = 0; i < c.dim; i++) {
      const double product =
          static_cast<double>(q[i]) *
          static_cast<double>(f16_to_f32(t.keys[base + static_cast<size_t>(p * c.dim + i)]));
      sum += product, size += std::fabs(product);
    }
    scores[static_cast<size_t>(p)] = sum * root;
    most = std::max(most, sum * root);
    magnitude = std::max(magnitude, size * root);
  }
  Expected e;
  e.value.resize(static_cast<size_t>(c.dim)), e.bound = e.value;
  double total = 0;
  for (double& s : scores) total += s = std::exp(s - most);
  for (int64_t p = 0; p < seen; p++)
    for (size_t i = 0; i < e.value.size(); i++) {
      const double v =
          static_cast<double>(f16_to_f32(t.values[base + static_cast<size_t>(p * c.dim) + i]));
      const double weight = scores[static_cast<size_t>(p)] / total;
      e.value[i] += weight * v, e.bound[i] += weight * std::fabs(v);
    }
  const double products = static_cast<double>(c.dim / 16 + 1),
               strips = static_cast<double>(seen) / 16 + 1;
  const double of_scores = magnitude * (4 * u + (4 * products + 4) * u) + (4 * magnitude + 15) * u;
  const double of_weights = 2 * (of_scores + (strips + 4) * 4 * u);
  for (double& b : e.bound) b *= of_weights + (4 * strips + 64) * u;
  return e;
}

/// The largest error over its bound.
double worst_of(const Case& c, const Tensors& t, int64_t position, const std::vector<float>& out) {
  double worst = 0;
  for (int64_t token = 0; token < c.tokens; token++)
    for (int64_t head = 0; head < c.heads; head++) {
      const Expected e = expect(c, t, position, token, head);
      for (size_t i = 0; i < e.value.size(); i++) {
        const double got =
            static_cast<double>(out[static_cast<size_t>((token * c.heads + head) * c.dim) + i]);
        const double share = std::fabs(got - e.value[i]) / e.bound[i];
        worst = std::isnan(share) ? INFINITY : std::max(worst, share);
      }
    }
  return worst;
}

void check(const Case& c) {
  auto bench = Bench::make(c);
  ASSERT_TRUE(bench) << bench.error().message;
  const Tensors t = random_tensors(c);
  const auto out = (*bench)->run(t, c.position);
  ASSERT_TRUE(out) << describe(c) << ": " << out.error().message;
  ASSERT_LE(worst_of(c, t, c.position, *out), 1) << describe(c);
}

/// Up to 33 tokens, for every number of heads that share one, and heads of every kind of size.
TEST(CudaAttention, TokensAndHeads) {
  const std::pair<int64_t, int64_t> heads[] = {{4, 4}, {8, 2}, {7, 1}, {9, 3}, {3, 1}, {20, 1}};
  const int64_t dims[] = {64, 16, 128, 40, 8, 96, 256, 136};
  for (int64_t tokens = 1; tokens <= 33; tokens++) {
    const auto i = static_cast<size_t>(tokens);
    const auto [all, kv] = heads[i % std::size(heads)];
    const int64_t position = tokens * 37 % 101;
    check({all, kv, dims[i % std::size(dims)], position + tokens + 3, position, tokens});
    if (HasFatalFailure()) return;
  }
}

/// Where positions are split over blocks, and where they fill strips to the edge.
TEST(CudaAttention, Positions) {
  for (const Case& c : {Case{8, 2, 64, 512, 0, 1},
                        {8, 2, 64, 512, 63, 1},
                        {8, 2, 64, 512, 64, 1},
                        {32, 2, 128, 512, 447, 1},
                        {6, 3, 40, 1000, 700, 2},
                        {4, 1, 256, 400, 300, 1},
                        {16, 1, 128, 300, 255, 1},
                        {40, 1, 72, 300, 256, 3},
                        {8, 2, 128, 640, 480, 24},
                        {4, 2, 64, 640, 127, 100},
                        {4, 1, 256, 300, 200, 30},
                        {71, 1, 64, 400, 383, 1}}) {
    check(c);
    if (HasFatalFailure()) return;
  }
}

/// Tickets and partial sums of one launch do not reach the next.
TEST(CudaAttention, OneAfterAnother) {
  const Case c = {12, 2, 64, 700, 0, 1};
  auto bench = Bench::make(c);
  ASSERT_TRUE(bench) << bench.error().message;
  const Tensors t = random_tensors(c);
  for (int64_t position : {0, 1, 500, 20, 64, 699, 699, 128}) {
    const auto out = (*bench)->run(t, position);
    ASSERT_TRUE(out) << out.error().message;
    EXPECT_LE(worst_of(c, t, position, *out), 1) << "at " << position;
    const auto again = (*bench)->run(t, position);
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(*out, *again) << "at " << position;
  }
}

/// Queries that f16 could not hold, scores that grow, and such that only one position counts.
TEST(CudaAttention, SizesOfNumbers) {
  for (const auto& [query, key] :
       {std::pair{1e6f, 1e-6f}, {1e-8f, 5e3f}, {3e-38f, 1.0f}, {4.0f, 4.0f}})
    for (int64_t tokens : {1, 20}) {
      check({8, 2, 64, 400, 300, tokens, query, key});
      if (HasFatalFailure()) return;
    }
  for (int64_t tokens : {1, 40}) {
    check({4, 2, 128, 400, 350, tokens, 1, 1, true});
    if (HasFatalFailure()) return;
  }
}

/// A value that is no number reaches those that see it, and nobody waits for it.
TEST(CudaAttention, NoNumbers) {
  for (float bad : {NAN, INFINITY, -INFINITY})
    for (int64_t tokens : {1, 30}) {
      const Case c = {8, 2, 64, 400, 300, tokens};
      auto bench = Bench::make(c);
      ASSERT_TRUE(bench) << bench.error().message;
      for (bool in_keys : {false, true}) {
        Tensors t = random_tensors(c);
        (in_keys ? t.keys : t.values)[static_cast<size_t>(200 * c.dim + 5)] = f32_to_f16(bad);
        const auto out = (*bench)->run(t, c.position);
        ASSERT_TRUE(out) << out.error().message;
        EXPECT_FALSE(in_keys ? std::isfinite((*out)[0]) && std::isnan(bad)
                             : std::isfinite((*out)[5]));
        // The other half of the heads does not see it.
        for (int64_t i = 4 * c.dim; i < 8 * c.dim; i++)
          ASSERT_TRUE(std::isfinite((*out)[static_cast<size_t>(i)]));
      }
    }
}

/// Bytes of keys and values that are read over those that are seen: for all heads together once, by
/// whole sectors, and with no bank conflict.
void expect_read_once(const Case& c, double most) {
  const TemporaryFolder folder;
  auto bench = Bench::make(c);
  ASSERT_TRUE(bench) << bench.error().message;
  const std::string report = folder / "launches";
  setenv("SQF_EMULATOR_REPORT", report.c_str(), 1);
  const auto out = (*bench)->run(random_tensors(c), c.position);
  unsetenv("SQF_EMULATOR_REPORT");
  ASSERT_TRUE(out) << out.error().message;
  std::ifstream in(report);
  std::string line;
  if (!std::getline(in, line)) GTEST_SKIP() << "the driver does not count";
  const Json launch = Json::parse(line);
  const auto seen = static_cast<double>(c.kv_heads * (c.position + c.tokens) * c.dim * 2);
  int caches = 0;
  for (const Json& area : launch["reads"]) {
    if (area["size"] != c.kv_heads * c.context * c.dim * 2) continue;
    caches++;
    EXPECT_EQ(area["unique_bytes"], seen);
    EXPECT_LE(area["read_bytes"].get<double>(), most * seen) << describe(c);
    EXPECT_LE(32 * area["sectors"].get<double>(), area["read_bytes"].get<double>() / 0.95);
  }
  EXPECT_EQ(caches, 2);
  EXPECT_EQ(launch["bank_conflicts"], 0) << describe(c);
}

TEST(CudaAttention, ReadsTheCacheOnce) {
  for (int64_t dim : {64, 80, 128, 256}) {
    expect_read_once({32, 4, dim, 1200, 999, 1}, 1);
    expect_read_once({32, 4, dim, 700, 600, 2}, 1);
  }
  // A tile of rows each.
  expect_read_once({16, 2, 128, 300, 100, 16}, 1);
  expect_read_once({16, 2, 128, 300, 100, 32}, 2);
}

}  // namespace
}  // namespace sqf
