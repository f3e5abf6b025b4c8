#include <algorithm>
#include <cstring>

#include "tests/cuda_emulator/decoder.hpp"
#include "tests/cuda_emulator/driver.hpp"
#include "tests/cuda_emulator/image.hpp"
#include "tests/cuda_emulator/ptx_syntax.hpp"

// Modules and the functions in them.

namespace sqf {
namespace {

struct Log {
  char* text = nullptr;
  size_t bytes = 0;
};

Log log_of(unsigned int count, CUjit_option* options, void** values) {
  Log log;
  for (unsigned int i = 0; i < count; i++) {
    if (options[i] == CU_JIT_ERROR_LOG_BUFFER) log.text = static_cast<char*>(values[i]);
    if (options[i] == CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES) {
      log.bytes = reinterpret_cast<uintptr_t>(values[i]) & 0xffffffff;
    }
  }
  return log;
}

CUresult refuse(const Log& log, CUresult code, const std::string& message) {
  say(message);
  if (log.text != nullptr && log.bytes > 0) {
    std::strncpy(log.text, message.c_str(), log.bytes - 1);
    log.text[log.bytes - 1] = '\0';
  }
  return code;
}

/// The newest PTX a driver of this version reads: 13.0 reads 9.0, 12.x reads up to 8.8, 11.x
/// reads 7.x.
int newest_ptx(int version) {
  const int major = version / 1000, minor = version % 1000 / 10;
  if (major >= 13) return 10 * (major - 4) + minor;
  if (major == 12) return 80 + (minor <= 5 ? minor : minor - 1);
  return 70 + minor;
}

void place_variables(const PtxModule& parsed, EmulatedModule& module, ModuleSymbols& symbols) {
  GlobalMemory& memory = driver().memory;
  for (const PtxVariable& variable : parsed.variables) {
    ModuleSymbol& symbol = symbols[variable.name];
    symbol.space = variable.space;
    if (variable.space == Space::shared) continue;
    const auto bytes = static_cast<uint64_t>(variable.bytes);
    symbol.address = memory.allocate(std::max<uint64_t>(bytes, 1), variable.name, false);
    if (symbol.address == 0) continue;
    Allocation& place = *memory.find(symbol.address);
    if (!variable.initial.empty()) {
      std::memcpy(place.pages.data, variable.initial.data(), variable.initial.size());
    }
    memory.define(place, symbol.address, bytes);  // the language zeroes the rest
    place.constant = variable.space == Space::constant;
    module.variables[variable.name] = {symbol.address, bytes};
  }
}

CUresult load(CUmodule* out, const void* image, const Log& log) {
  const Settings& settings = driver().settings;
  const Image found = ptx_of_image(image, settings.capability);
  if (found.code != 0) return refuse(log, static_cast<CUresult>(found.code), found.error);
  const PtxParsed parsed = parse_ptx(found.ptx);
  if (!parsed.error.empty()) return refuse(log, CUDA_ERROR_INVALID_PTX, parsed.error);
  if (parsed.module.version > newest_ptx(settings.driver)) {
    return refuse(log, CUDA_ERROR_UNSUPPORTED_PTX_VERSION, "PTX newer than the driver");
  }
  if (parsed.module.architecture > settings.capability) {
    return refuse(log, CUDA_ERROR_INVALID_PTX, "PTX for a newer device: " + parsed.module.target);
  }
  auto module = std::make_unique<EmulatedModule>();
  module->version = parsed.module.version;
  module->architecture = parsed.module.architecture;
  ModuleSymbols symbols;
  place_variables(parsed.module, *module, symbols);
  std::string mistake;
  for (const PtxFunction& function : parsed.module.functions) {
    if (!function.entry || !function.defined) continue;
    auto made = std::make_unique<EmulatedFunction>();
    made->module = module.get();
    if (mistake.empty()) mistake = Decoder(parsed.module, symbols, made->kernel).run(function);
    const int64_t left = 49152 - made->kernel.static_shared_bytes;
    made->max_dynamic_shared = static_cast<int>(std::max<int64_t>(left, 0));
    module->functions[function.name] = std::move(made);
  }
  if (!mistake.empty()) {
    for (const auto& [name, place] : module->variables) driver().memory.release(place.first, false);
    return refuse(log, CUDA_ERROR_INVALID_PTX, mistake);
  }
  for (const auto& [name, function] : module->functions) driver().functions.insert(function.get());
  *out = reinterpret_cast<CUmodule>(module.get());
  driver().modules.insert(module.release());
  return CUDA_SUCCESS;
}

EmulatedModule* module_of(CUmodule handle) {
  auto* const module = reinterpret_cast<EmulatedModule*>(handle);
  return driver().modules.contains(module) ? module : nullptr;
}

EmulatedFunction* function_of(CUfunction handle) {
  auto* const function = reinterpret_cast<EmulatedFunction*>(handle);
  return driver().functions.contains(function) ? function : nullptr;
}

int optin_limit() {
  int limit = 49152;
  cuDeviceGetAttribute(&limit, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, 0);
  return limit;
}

CUresult load_with(CUmodule* out, const void* image, const Log& log) {
  const Call call;
  const CUresult state = call.synchronous();
  if (state != CUDA_SUCCESS) return state;
  if (out == nullptr || image == nullptr) return CUDA_ERROR_INVALID_VALUE;
  return load(out, image, log);
}

}  // namespace
}  // namespace sqf

using sqf::Call;
using sqf::driver;

extern "C" {

CUresult cuModuleLoadData(CUmodule* out, const void* image) {
  return sqf::load_with(out, image, {});
}
CUresult cuModuleLoadFatBinary(CUmodule* out, const void* image) {
  return sqf::load_with(out, image, {});
}
CUresult cuModuleLoadDataEx(CUmodule* out, const void* image, unsigned int count,
                            CUjit_option* options, void** values) {
  return sqf::load_with(out, image, sqf::log_of(count, options, values));
}

CUresult cuModuleUnload(CUmodule handle) {
  const Call call;
  const CUresult state = call.synchronous();
  if (state != CUDA_SUCCESS) return state;
  sqf::EmulatedModule* const module = sqf::module_of(handle);
  if (module == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  for (const auto& [name, function] : module->functions) driver().functions.erase(function.get());
  for (const auto& [name, place] : module->variables) driver().memory.release(place.first, false);
  driver().modules.erase(module);
  delete module;
  return CUDA_SUCCESS;
}

CUresult cuModuleGetFunction(CUfunction* out, CUmodule handle, const char* name) {
  const Call call;
  const CUresult state = call.healthy();
  if (state != CUDA_SUCCESS) return state;
  const sqf::EmulatedModule* const module = sqf::module_of(handle);
  if (module == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (out == nullptr || name == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const auto found = module->functions.find(name);
  if (found == module->functions.end()) return CUDA_ERROR_NOT_FOUND;
  *out = reinterpret_cast<CUfunction>(found->second.get());
  return CUDA_SUCCESS;
}

CUresult cuModuleGetGlobal(CUdeviceptr* address, size_t* bytes, CUmodule handle, const char* name) {
  const Call call;
  const CUresult state = call.healthy();
  if (state != CUDA_SUCCESS) return state;
  const sqf::EmulatedModule* const module = sqf::module_of(handle);
  if (module == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (name == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const auto found = module->variables.find(name);
  if (found == module->variables.end()) return CUDA_ERROR_NOT_FOUND;
  if (address != nullptr) *address = found->second.first;
  if (bytes != nullptr) *bytes = found->second.second;
  return CUDA_SUCCESS;
}

CUresult cuFuncGetAttribute(int* value, CUfunction_attribute attribute, CUfunction handle) {
  const Call call;
  const CUresult state = call.healthy();
  if (state != CUDA_SUCCESS) return state;
  const sqf::EmulatedFunction* const function = sqf::function_of(handle);
  if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (value == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const sqf::Kernel& kernel = function->kernel;
  switch (attribute) {
    case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
      *value = kernel.max_threads;
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES:
      *value = static_cast<int>(kernel.static_shared_bytes);
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES:
      *value = 0;
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES:
      *value = static_cast<int>(kernel.local_bytes);
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_NUM_REGS:  // a guess: PTX has no register allocation
      *value = std::clamp(kernel.registers, 16, 255);
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_PTX_VERSION:
    case CU_FUNC_ATTRIBUTE_BINARY_VERSION:
      *value = attribute == CU_FUNC_ATTRIBUTE_PTX_VERSION ? function->module->architecture
                                                          : driver().settings.capability;
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
      *value = function->max_dynamic_shared;
      return CUDA_SUCCESS;
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
}

CUresult cuFuncSetAttribute(CUfunction handle, CUfunction_attribute attribute, int value) {
  const Call call;
  const CUresult state = call.healthy();
  if (state != CUDA_SUCCESS) return state;
  sqf::EmulatedFunction* const function = sqf::function_of(handle);
  if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (attribute == CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT) {
    return value >= -1 && value <= 100 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  }
  if (attribute != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES) return CUDA_ERROR_INVALID_VALUE;
  if (value < 0 || value + function->kernel.static_shared_bytes > sqf::optin_limit()) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  function->max_dynamic_shared = value;
  return CUDA_SUCCESS;
}

CUresult cuFuncSetCacheConfig(CUfunction handle, CUfunc_cache) {
  const Call call;
  return sqf::function_of(handle) == nullptr ? CUDA_ERROR_INVALID_HANDLE : call.healthy();
}

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, CUfunction handle, int threads,
                                                     size_t dynamic_bytes) {
  const Call call;
  const CUresult state = call.healthy();
  if (state != CUDA_SUCCESS) return state;
  const sqf::EmulatedFunction* const function = sqf::function_of(handle);
  if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (blocks == nullptr || threads <= 0) return CUDA_ERROR_INVALID_VALUE;
  int most_threads = 2048;
  cuDeviceGetAttribute(&most_threads, CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR, 0);
  const auto shared =
      static_cast<int64_t>(dynamic_bytes) + function->kernel.static_shared_bytes + 1024;
  const int64_t by_shared = (sqf::optin_limit() + 1024) / shared;
  const int by_threads =
      threads > function->kernel.max_threads ? 0 : most_threads / ((threads + 31) / 32 * 32);
  *blocks = static_cast<int>(std::min<int64_t>({by_shared, by_threads, 32}));
  return CUDA_SUCCESS;
}

}  // extern "C"
