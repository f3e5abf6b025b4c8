#pragma once
// A layer's product on the GPU's kernels, for tests that compare it with others. The driver is the
// emulator that SQF_LIBCUDA names, or a real one, to which settings mean nothing.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>

#include "cuda/product.hpp"
#include "tests/runtime/compositions.hpp"

namespace sqf {

/// The device that the emulator plays under more settings. Open until the process ends: the driver
/// may be gone before a static object is.
inline Device& gpu(const std::string& settings = "") {
  static auto* const devices = new std::map<std::string, Device*>;
  Device*& device = (*devices)[settings];
  if (device != nullptr) return *device;
  const char* const own = std::getenv("SQF_EMULATOR");
  const std::string before = own != nullptr ? own : "";
  if (!settings.empty()) {
    const auto driver = cuda_driver();
    ::setenv("SQF_EMULATOR", (before + " " + settings).c_str(), 1);
    if (driver) (*driver)->init(0);  // reads its settings again
  }
  auto opened = Device::open();
  if (!settings.empty()) ::setenv("SQF_EMULATOR", before.c_str(), 1);
  if (!opened) {
    ADD_FAILURE() << opened.error().message;
    std::abort();
  }
  device = opened->release();
  return *device;
}

/// y [tokens][rows] of each layer; all read x. `seen` is given what was prepared.
inline Result<std::vector<std::vector<float>>> products_of(const Device& device,
                                                           const ModelFile& file,
                                                           std::span<const Linear* const> layers,
                                                           const std::vector<float>& x, bool exact,
                                                           Readers* seen = nullptr) {
  const int64_t tokens = static_cast<int64_t>(x.size()) / layers[0]->columns;
  auto weights = DeviceWeights::upload(device, file);
  if (!weights) return weights.error();
  Products products(device, &*weights, tokens, exact);
  auto readers = products.prepare(layers);
  if (!readers) return readers.error();
  if (auto r = products.allocate(); !r) return r.error();
  auto on_device = device.allocate(x.size() * 4, "x");
  if (!on_device) return on_device.error();
  if (auto r = device.copy_to_device(on_device->as(), x.data(), x.size() * 4); !r) return r.error();
  std::vector<DeviceMemory> results;
  std::vector<float*> to;
  for (const Linear* linear : layers) {
    auto result = device.allocate(static_cast<size_t>(tokens * linear->rows) * 4, "y");
    if (!result) return result.error();
    results.push_back(std::move(*result));
    to.push_back(results.back().as<float>());
  }
  const DeviceActivation activation = {FormSource::plain, on_device->as<float>(), nullptr, 0};
  if (auto r = products.run(*readers, activation, tokens, to, false); !r) return r.error();
  std::vector<std::vector<float>> y;
  for (const DeviceMemory& result : results) {
    y.emplace_back(result.size() / 4);
    if (auto r = device.copy_to_host(y.back().data(), result.as(), result.size()); !r)
      return r.error();
  }
  if (auto r = device.wait(); !r) return r.error();
  if (seen != nullptr) *seen = *readers;
  return y;
}

/// Of one layer alone.
inline Result<std::vector<float>> product(const Device& device, const OpenedLayer& o,
                                          const std::vector<float>& x, bool exact,
                                          Readers* seen = nullptr) {
  const Linear* const layer = &o.linear;
  auto y = products_of(device, o.file, std::span(&layer, 1), x, exact, seen);
  if (!y) return y.error();
  return std::move((*y)[0]);
}

/// A composition of one part in this encoding, its activations as they are or of eight bits.
inline Composition of_one(const EncodingRecord& e, bool integer = false) {
  return {describe(e),
          {integer ? integers(8, true) : column_set(ColumnKind::all)},
          {{e, 0, false, false, integer}}};
}

/// Planes of one bit each, as bit-serial kernels have them.
inline EncodingRecord bit_serial(int bits) {
  EncodingRecord e = affine_encoding(bits, 32, Element::f16, false, ZeroKind::u8);
  e.plane_count = static_cast<uint8_t>(bits);
  for (int p = 0; p < bits; p++) e.radices[static_cast<size_t>(p)] = 2;
  return e;
}

inline constexpr std::array<float, 5> kLevels = {-1.0f, -0.25f, 0.125f, 0.5f, 1.0f};

/// One for each kernel, with the ways of grouping that it tells apart.
inline std::vector<Composition> every_kernel() {
  std::vector<Composition> list;
  for (int bits = 1; bits <= 8; bits++)
    list.push_back(of_one(affine_encoding(bits, bits % 2 == 0 ? 32 : 64, Element::u8, true,
                                          bits <= 4 ? ZeroKind::u4 : ZeroKind::u8)));
  for (uint32_t group : {64u, 96u, 160u, 0u})
    list.push_back(of_one(affine_encoding(4, group, Element::f16, false, ZeroKind::minimum_f16)));
  list.push_back(of_one(bit_serial(3)));
  list.push_back(of_one(levels_encoding(kLevels, 32, Element::f16, false)));
  for (auto [exponent, mantissa] : {std::pair{2, 1}, {2, 3}, {4, 3}})
    list.push_back(of_one(
        minifloat_encoding(exponent, mantissa, MinifloatKind::ocp, 32, Element::e8m0, false)));
  for (Element type : {Element::f16, Element::bf16}) list.push_back(of_one(real_encoding(type)));
  for (int bits : {3, 4, 8})
    for (uint32_t group : {0u, 32u, 96u})
      list.push_back(of_one(affine_encoding(bits, group, Element::f32, false, ZeroKind::u8), true));
  return list;
}

/// An activation and a level are rounded to f16, a low-rank pair's narrow activation as well; split
/// ones twice, which leaves a level. The rest is f32, as many roundings as a sum goes through.
inline double bound_of(const Linear& linear, double magnitude, bool split) {
  const auto groups = static_cast<double>(linear.columns / 16 + 1);
  const bool table = std::any_of(linear.parts.begin(), linear.parts.end(), [](const auto& part) {
    return part.weight.encoding.grid == Grid::levels;
  });
  const double halves = split ? 2 * 0x1p-22 + (table ? 0x1p-11 : 0) : 3 * 0x1p-11;
  return (halves + (4 * groups + 64) * 0x1p-24) * magnitude + 1e-6;
}

}  // namespace sqf
