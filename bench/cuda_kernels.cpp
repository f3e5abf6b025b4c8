// The products of real layers, and attention, on the GPU's kernels: shapes of models of 1 to 70
// billion weights, in the encodings that people use, at several numbers of tokens; and all products
// of a decoder layer one after the other, as the runtime launches them.
//
//   sqf_bench_cuda [--rows N] [--repeat R] [--only TEXT] [--tokens T]
//
// One JSON object a line: the case, the bytes stored, and the median seconds of R launches (on an
// emulator seconds mean nothing, its own report counts what was moved). Where there is a cuBLAS,
// its FP16 products as well. --rows: no more than N rows of each matrix, for the emulator. --only:
// cases whose "shape, composition;" contains TEXT.
// --tokens: that many instead of 1, 4, 16 and 64.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "bench/cublas.hpp"
#include "cuda/attention.hpp"
#include "cuda/graph.hpp"
#include "cuda/product.hpp"
#include "tests/runtime/composed_file.hpp"

namespace sqf {
namespace {

struct Shape {
  const char* name;
  int64_t rows, columns;
};

// Llama 3.2 1B, Llama 3 8B, Code Llama 34B, Llama 3 70B: query, key, gate, down.
constexpr Shape kShapes[] = {
    {"1B q", 2048, 2048},     {"1B k", 512, 2048},       {"1B gate", 8192, 2048},
    {"1B down", 2048, 8192},  {"8B q", 4096, 4096},      {"8B k", 1024, 4096},
    {"8B gate", 14336, 4096}, {"8B down", 4096, 14336},  {"34B q", 8192, 8192},
    {"34B k", 1024, 8192},    {"34B gate", 22016, 8192}, {"34B down", 8192, 22016},
    {"70B q", 8192, 8192},    {"70B k", 1024, 8192},     {"70B gate", 28672, 8192},
    {"70B down", 8192, 28672}};

/// Products of one activation.
struct Group {
  int64_t columns;
  std::vector<int64_t> rows;
};

struct Case {
  std::string name;
  std::vector<Group> groups;
};

/// Decoder layers of the models that are small enough for starting kernels to count.
std::vector<Case> decoder_layers() {
  std::vector<Case> list;
  for (size_t i : {size_t{0}, size_t{4}}) {
    const Shape &q = kShapes[i], &k = kShapes[i + 1], &gate = kShapes[i + 2],
                &down = kShapes[i + 3];
    list.push_back({std::string(q.name, 2) + " layer",
                    {{q.columns, {q.rows, k.rows, k.rows}},
                     {q.rows, {q.columns}},
                     {gate.columns, {gate.rows, gate.rows}},
                     {down.columns, {down.rows}}}});
  }
  return list;
}

struct Heads {
  const char* name;
  int64_t heads, kv_heads, dim;
};

constexpr Heads kHeads[] = {{"1B heads", 32, 8, 64},
                            {"8B heads", 32, 8, 128},
                            {"34B heads", 64, 8, 128},
                            {"70B heads", 64, 8, 128}};
constexpr int64_t kPositions = 4096;
constexpr char kAttention[] = "attention, 4096 positions";

ColumnSetRecord columns_of(ColumnKind kind, int bits = 0, bool asymmetric = false) {
  ColumnSetRecord set = {};
  set.kind = kind;
  set.quantizer = bits == 0 ? QuantizerKind::none : QuantizerKind::integer;
  set.bits = static_cast<uint8_t>(bits);
  set.asymmetric = asymmetric;
  return set;
}

/// Every plane of radix 2, a scale a row.
EncodingRecord bit_planes(int bits) {
  EncodingRecord e = affine_encoding(bits, 0, Element::f32, false, ZeroKind::u8);
  e.plane_count = static_cast<uint8_t>(bits);
  std::fill(e.radices.begin(), e.radices.end(), 0);
  std::fill_n(e.radices.begin(), bits, 2);
  return e;
}

std::vector<Composition> compositions() {
  const auto all = columns_of(ColumnKind::all);
  const EncodingRecord four = affine_encoding(4, 32, Element::u8, true, ZeroKind::u4);
  const EncodingRecord row8 = affine_encoding(8, 0, Element::f32, false, ZeroKind::constant);
  const EncodingRecord row4 = affine_encoding(4, 0, Element::f32, false, ZeroKind::constant);
  std::vector<Composition> list;
  list.push_back({"W4A16 g32", {all}, {{four}}});
  list.push_back(
      {"W4A16 g128", {all}, {{affine_encoding(4, 128, Element::f16, false, ZeroKind::u4)}}});
  list.push_back(
      {"W3A16 g128", {all}, {{affine_encoding(3, 128, Element::f16, false, ZeroKind::u8)}}});
  list.push_back({"W8A16 g32", {all}, {{affine_encoding(8, 32, Element::u8, true, ZeroKind::u8)}}});
  list.push_back({"W16A16", {all}, {{real_encoding(Element::f16)}}});
  list.push_back({"W8A8", {columns_of(ColumnKind::all, 8)}, {{row8}}});
  list.push_back({"W4A4 + outliers",
                  {columns_of(ColumnKind::list), columns_of(ColumnKind::rest, 4, true)},
                  {{real_encoding(Element::f16), 0}, {row4, 1}}});
  list.push_back({"W2A4 bits", {columns_of(ColumnKind::all, 4, true)}, {{bit_planes(2)}}});
  list.push_back({"W1A8 bits", {columns_of(ColumnKind::all, 8, true)}, {{bit_planes(1)}}});
  list.push_back({"W4A16 g32 + rank 32", {all}, {{four}}, SmoothState::none, Element::i8, 32});
  return list;
}

constexpr uint64_t kTogetherBytes = uint64_t{512} << 20;  // more than any GPU's cache

struct Options {
  int64_t rows = 1 << 30, repeat = 1;
  std::vector<int64_t> tokens = {1, 4, 16, 64};
  std::string only;
};

/// Layers on the GPU, ready to be multiplied.
struct Loaded {
  DeviceWeights weights;
  std::unique_ptr<Products> products;
  std::vector<Readers> readers;  ///< of each group
};

using Linears = std::vector<std::vector<Linear>>;

Result<std::unique_ptr<Loaded>> load(const Device& device, const ModelFile& file,
                                     const Linears& groups, int64_t tokens) {
  auto loaded = std::make_unique<Loaded>();
  auto weights = DeviceWeights::upload(device, file);
  if (!weights) return weights.error();
  loaded->weights = std::move(*weights);
  loaded->products = std::make_unique<Products>(device, &loaded->weights, tokens, false);
  for (const std::vector<Linear>& group : groups) {
    std::vector<const Linear*> layers;
    for (const Linear& linear : group) layers.push_back(&linear);
    auto readers = loaded->products->prepare(layers);
    if (!readers) return readers.error();
    loaded->readers.push_back(std::move(*readers));
  }
  if (auto r = loaded->products->allocate(); !r) return r.error();
  return loaded;
}

/// Median seconds of `work`, recorded once so that the time of starting kernels is not in it.
Result<double> median_seconds(const Device& device, int64_t repeat,
                              const std::function<Result<void>()>& work) {
  auto graph = Graph::record(device, work);
  if (!graph) return graph.error();
  std::vector<double> seconds;
  for (int64_t i = 0; i < repeat + (repeat > 1); i++) {  // the first of several is not counted
    if (auto r = device.wait(); !r) return r.error();
    const auto start = std::chrono::steady_clock::now();
    if (auto r = graph->launch(); !r) return r.error();
    if (auto r = device.wait(); !r) return r.error();
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    if (i > 0 || repeat == 1) seconds.push_back(taken.count());
  }
  std::sort(seconds.begin(), seconds.end());
  return seconds[seconds.size() / 2];
}

/// Enough of one matrix, one after another, that no cache keeps what was read.
int64_t copies_of(uint64_t stored, const Options& o) {
  return o.repeat > 1 ? static_cast<int64_t>(kTogetherBytes / stored + 1) : 1;
}

void print(Json row, const char* shape, const char* composition, int64_t tokens, uint64_t stored,
           double seconds) {
  row["shape"] = shape;
  row["composition"] = composition;
  row["tokens"] = tokens;
  row["stored_bytes"] = stored;
  row["seconds"] = seconds;
  std::printf("%s\n", row.dump().c_str());
  std::fflush(stdout);
}

/// The same product by cuBLAS, on weights in f16.
Result<void> measure_cublas(const Device& device, const Cublas& cublas, const Shape& shape,
                            const Options& o) {
  const uint64_t stored = static_cast<uint64_t>(2 * shape.rows * shape.columns);
  const int64_t copy_count = copies_of(stored, o);
  const auto take = [&](int64_t bytes) {
    return device.allocate(static_cast<size_t>(bytes), "f16");
  };
  auto w = take(copy_count * static_cast<int64_t>(stored));
  if (!w) return w.error();
  if (auto r = device.zero(w->as(), w->size()); !r) return r;
  for (const int64_t tokens : o.tokens) {
    auto x = take(2 * tokens * shape.columns), y = take(2 * tokens * shape.rows);
    if (!x || !y) return x ? y.error() : x.error();
    if (auto r = device.zero(x->as(), x->size()); !r) return r;
    const auto multiply = [&](int64_t copy) {
      return cublas.multiply(w->as() + copy * static_cast<int64_t>(stored), x->as(), y->as(),
                             shape.rows, shape.columns, tokens);
    };
    if (auto r = multiply(0); !r) return r;  // it loads its kernels now, which cannot be recorded
    auto seconds = median_seconds(device, o.repeat, [&]() -> Result<void> {
      for (int64_t copy = 0; copy < copy_count; copy++)
        if (auto r = multiply(copy); !r) return r;
      return {};
    });
    if (!seconds) return seconds.error();
    print({}, shape.name, "FP16 cuBLAS", tokens, stored,
          *seconds / static_cast<double>(copy_count));
  }
  return {};
}

/// A file of the case's matrices, no more than o.rows of each.
Result<ModelFile> write_case(const Composition& c, const Case& of, const Options& o,
                             const std::filesystem::path& path) {
  ComposedFile made(1);
  char name = 'a';
  for (const Group& group : of.groups) {
    const uint32_t input = made.add_input(c, group.columns);
    for (const int64_t rows : group.rows)
      made.add_tensor(std::string(1, name++), c, std::min(rows, o.rows), input);
  }
  std::filesystem::remove(path);
  if (auto r = made.write(path); !r) return r.error();
  return ModelFile::open(path);
}

/// `more`: what the row says besides.
Result<void> measure(const Device& device, const Composition& c, const Case& of, Json more,
                     const Options& o, const std::filesystem::path& folder) {
  auto file = write_case(c, of, o, folder / "a.sqf");
  if (!file) return file.error();
  Feeds feeds;
  Linears linears;
  uint64_t stored = 0;
  size_t tensor = 0;
  int64_t columns = 0, rows = 0;
  for (const Group& group : of.groups) {
    linears.emplace_back();
    columns = std::max(columns, group.columns);
    for (size_t i = 0; i < group.rows.size(); i++) {
      auto linear = load_linear(*file, file->tensor(tensor), &feeds);
      if (!linear) return linear.error();
      rows = std::max(rows, linear->rows);
      linears.back().push_back(std::move(*linear));
      stored += bytes_per_token(*file, file->tensor(tensor++));
    }
  }
  for (const int64_t tokens : o.tokens) {
    std::vector<std::unique_ptr<Loaded>> copies;
    for (int64_t left = copies_of(stored, o); left > 0; left--) {
      auto copy = load(device, *file, linears, tokens);
      if (!copy) return copy.error();
      copies.push_back(std::move(*copy));
    }
    auto x = device.allocate(static_cast<size_t>(tokens * columns) * 4, "x");
    if (!x) return x.error();
    if (auto r = device.zero(x->as(), x->size()); !r) return r;
    std::vector<DeviceMemory> results;
    std::vector<float*> to;
    for (size_t i = 0; i < kProductsTogether; i++) {
      auto y = device.allocate(static_cast<size_t>(tokens * rows) * 4, "y");
      if (!y) return y.error();
      results.push_back(std::move(*y));
      to.push_back(results.back().as<float>());
    }
    const DeviceActivation activation = {FormSource::plain, x->as<float>(), nullptr, 0};
    auto seconds = median_seconds(device, o.repeat, [&]() -> Result<void> {
      for (const auto& copy : copies)
        for (const Readers& readers : copy->readers)
          if (auto r = copy->products->run(readers, activation, tokens, to, false); !r) return r;
      return {};
    });
    if (!seconds) return seconds.error();
    more["weights_allocation"] = copies[0]->weights.bytes();
    print(more, of.name.c_str(), c.name.c_str(), tokens, stored,
          *seconds / static_cast<double>(copies.size()));
  }
  return {};
}

Result<void> measure_compositions(const Device& device, const Case& of, const Json& more,
                                  const Options& o, const std::filesystem::path& folder) {
  for (const Composition& c : compositions())
    if ((of.name + ", " + c.name + ";").find(o.only) != std::string::npos)
      if (auto r = measure(device, c, of, more, o, folder); !r) return r;
  return {};
}

/// The last tokens of kPositions, over a cache in f16: what is stored are all keys and values.
Result<void> measure_attention(const Device& device, const Heads& of, const Options& o) {
  const auto stored = static_cast<uint64_t>(4 * kPositions * of.kv_heads * of.dim);
  for (const int64_t tokens : o.tokens) {
    auto attention = Attention::make(device, of.heads, of.kv_heads, of.dim, kPositions, tokens);
    if (!attention) return attention.error();
    const auto row_bytes = static_cast<size_t>(tokens * of.heads * of.dim) * 4;
    const auto first = static_cast<int32_t>(kPositions - tokens);
    auto q = device.allocate(row_bytes, "q"), out = device.allocate(row_bytes, "out");
    auto position = device.allocate(sizeof(first), "position");
    std::vector<DeviceMemory> caches;  // keys, values, keys, values ..
    for (int64_t left = 2 * copies_of(stored, o); left > 0; left--) {
      auto cache = device.allocate(stored / 2, "the cache");
      if (!cache) return cache.error();
      if (auto r = device.zero(cache->as(), cache->size()); !r) return r;
      caches.push_back(std::move(*cache));
    }
    if (!q || !out || !position) return !q ? q.error() : !out ? out.error() : position.error();
    if (auto r = device.zero(q->as(), q->size()); !r) return r;
    if (auto r = device.copy_to_device(position->as(), &first, sizeof(first)); !r) return r;
    auto seconds = median_seconds(device, o.repeat, [&]() -> Result<void> {
      for (size_t i = 0; i < caches.size(); i += 2) {
        AttentionArguments a = {};
        a.q = q->as<float>();
        a.keys = caches[i].as<uint16_t>();
        a.values = caches[i + 1].as<uint16_t>();
        a.position = position->as<int32_t>();
        a.out = out->as<float>();
        if (auto r = attention->run(a, tokens); !r) return r;
      }
      return {};
    });
    if (!seconds) return seconds.error();
    print({{"weights_allocation", caches[0].size()}}, of.name, kAttention, tokens, stored,
          2 * *seconds / static_cast<double>(caches.size()));
  }
  return {};
}

Result<void> measure_all(const Options& o) {
  auto device = Device::open();
  if (!device) return device.error();
  std::fprintf(stderr, "%s\n", (*device)->name().c_str());
  TemporaryFolder folder;
  auto cublas = Cublas::open(**device);
  if (!cublas) std::fprintf(stderr, "%s\n", cublas.error().message.c_str());
  for (const Shape& shape : kShapes) {
    if (cublas && (std::string(shape.name) + ", FP16 cuBLAS;").find(o.only) != std::string::npos)
      if (auto r = measure_cublas(**device, *cublas, shape, o); !r) return r;
    const Json sizes = {{"rows", std::min(shape.rows, o.rows)},
                        {"all_rows", shape.rows},
                        {"columns", shape.columns}};
    if (auto r = measure_compositions(**device, {shape.name, {{shape.columns, {shape.rows}}}},
                                      sizes, o, folder.path());
        !r)
      return r;
  }
  for (const Case& layer : decoder_layers())
    if (auto r = measure_compositions(**device, layer, Json::object(), o, folder.path()); !r)
      return r;
  for (const Heads& of : kHeads)
    if ((std::string(of.name) + ", " + kAttention + ";").find(o.only) != std::string::npos)
      if (auto r = measure_attention(**device, of, o); !r) return r;
  return {};
}

}  // namespace
}  // namespace sqf

int main(int argc, char** argv) {
  sqf::Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--rows") == 0) options.rows = std::atoll(argv[i + 1]);
    if (std::strcmp(argv[i], "--repeat") == 0) options.repeat = std::atoll(argv[i + 1]);
    if (std::strcmp(argv[i], "--only") == 0) options.only = argv[i + 1];
    if (std::strcmp(argv[i], "--tokens") == 0) options.tokens = {std::atoll(argv[i + 1])};
  }
  const auto done = sqf::measure_all(options);
  if (!done) std::fprintf(stderr, "sqf_bench_cuda: %s\n", done.error().message.c_str());
  return done ? 0 : static_cast<int>(done.error().code);
}
