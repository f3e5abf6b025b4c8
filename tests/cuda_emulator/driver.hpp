#pragma once

// The state behind the driver's functions. One lock around all of it; work is done when it is asked
// for, in the order of the calls, which is an order every stream allows. While a stream captures,
// its work is kept instead and done by cuGraphLaunch.

#pragma GCC visibility push(default)
#include <cuda.h>
#pragma GCC visibility pop

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "tests/cuda_emulator/global_memory.hpp"
#include "tests/cuda_emulator/program.hpp"
#include "tests/cuda_emulator/settings.hpp"

namespace sqf {

using Work = std::function<CUresult()>;

struct EmulatedModule;

struct EmulatedFunction {
  Kernel kernel;
  EmulatedModule* module = nullptr;
  int max_dynamic_shared = 0;
};

struct EmulatedModule {
  std::map<std::string, std::unique_ptr<EmulatedFunction>> functions;
  std::map<std::string, std::pair<uint64_t, uint64_t>> variables;  // address, bytes
  int version = 0, architecture = 0;
};

struct EmulatedGraph {
  std::vector<Work> nodes;
};

struct EmulatedStream {
  std::shared_ptr<EmulatedGraph> capture;  // what it captures into
  bool origin = false, broken = false;
  CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_GLOBAL;
  unsigned flags = 0;
};

struct EmulatedEvent {
  std::chrono::steady_clock::time_point at;
  bool recorded = false, timed = true;
  std::shared_ptr<EmulatedGraph> capture;
};

struct Driver {
  std::recursive_mutex lock;
  Settings settings;
  bool initialized = false;
  std::map<int, unsigned> counts;  // how often each primary context is retained
  CUresult sticky = CUDA_SUCCESS;
  GlobalMemory memory;
  std::set<EmulatedModule*> modules;
  std::set<EmulatedFunction*> functions;
  std::set<EmulatedStream*> streams;
  std::set<EmulatedEvent*> events;
  std::set<EmulatedGraph*> graphs, executables;
  int64_t allocations = 0, launches = 0;

  void destroy_context();
};

Driver& driver();
std::vector<int>& context_stack();  // of the calling thread: devices
CUcontext context_of(int device);
int device_of(CUcontext context);  // -1: no context

/// Lock, initialisation, a current context that is alive, no earlier error of a kernel: what nearly
/// every call needs.
class Call {
 public:
  Call() : guard_(driver().lock) {}
  CUresult ready() const;  // initialised
  CUresult with_context() const;
  CUresult healthy() const;  // and the context not broken by a kernel
  /// For calls that wait: also no capture that they would break.
  CUresult synchronous() const;

 private:
  std::lock_guard<std::recursive_mutex> guard_;
};

/// Does the work now, or keeps it where the stream captures.
CUresult submit(CUstream stream, Work work);
/// The stream of a handle: one for the default streams, null for what is none.
EmulatedStream* stream_of(CUstream stream);
bool any_capture();
void say(const std::string& message);  // to standard error

}  // namespace sqf
