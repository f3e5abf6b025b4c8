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

/// y [tokens][rows] of the layer. `seen` is given what was prepared.
inline Result<std::vector<float>> product(const Device& device, const OpenedLayer& o,
                                          const std::vector<float>& x, bool exact,
                                          Readers* seen = nullptr) {
  const int64_t tokens = static_cast<int64_t>(x.size()) / o.linear.columns;
  auto weights = DeviceWeights::upload(device, o.file);
  if (!weights) return weights.error();
  Products products(device, &*weights, tokens, exact);
  const Linear* const layers[] = {&o.linear};
  auto readers = products.prepare(layers);
  if (!readers) return readers.error();
  if (auto r = products.allocate(); !r) return r.error();
  std::vector<float> y(static_cast<size_t>(tokens * o.linear.rows));
  auto on_device = device.allocate(x.size() * 4, "x");
  auto result = device.allocate(y.size() * 4, "y");
  if (!on_device || !result) return on_device ? result.error() : on_device.error();
  if (auto r = device.copy_to_device(on_device->as(), x.data(), x.size() * 4); !r) return r.error();
  float* const to = result->as<float>();
  const DeviceActivation activation = {FormSource::plain, on_device->as<float>(), nullptr, 0};
  if (auto r = products.run(*readers, activation, tokens, std::span(&to, 1), false); !r)
    return r.error();
  if (auto r = device.copy_to_host(y.data(), to, y.size() * 4); !r) return r.error();
  if (auto r = device.wait(); !r) return r.error();
  if (seen != nullptr) *seen = *readers;
  return y;
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
