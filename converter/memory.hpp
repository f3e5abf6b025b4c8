#pragma once
// What a conversion takes of memory at its worst moment, known from the plan alone, so that it can
// be refused before hours of work and not by the system in the midst of them. Counts what the
// program allocates; pages of mapped source files are the system's to take back.

#include <string>
#include <vector>

#include "converter/plan.hpp"

namespace sqf {

struct MemoryOptions {
  int threads = 1;
  int64_t windows = 0, length = 0;  ///< of calibration; 0: none
  int64_t search_windows = 0;
  bool statistics = false;  ///< they are gathered first
  bool spill = false;       ///< what windows carry from block to block is in files
  bool journal = false;     ///< a journal is kept, of streams as well
  uint64_t text_bytes = 0;  ///< of the calibration text
  uint64_t tokenizer_bytes = 0;
};

struct MemoryPart {
  std::string what;   ///< "the Gram matrix of 1536 channels"
  std::string lower;  ///< which options make it less; empty: none do
  uint64_t bytes = 0;
};

/// What is alive together at the worst moment, the largest first.
struct ConversionMemory {
  std::vector<MemoryPart> parts;
  uint64_t program = 0;  ///< of them, what is taken from the start
  uint64_t disk = 0;     ///< beside the output, for what windows carry; 0: nothing is spilled
  uint64_t bytes() const;
};
ConversionMemory conversion_memory(const Plan& plan, const MemoryOptions& options);

/// "about 812 MB of memory, 340 MB of them for the residual streams", and what is spilled.
std::string memory_text(const ConversionMemory& memory);
Json memory_json(const ConversionMemory& memory);

/// `limit` in bytes; 0: none. Errors: usage, naming the largest part and what makes it less.
Result<void> check_memory(const ConversionMemory& memory, uint64_t limit);

/// Takes so much for a moment, and touches it, where the system says that it has it. Errors: io.
Result<void> try_memory(const ConversionMemory& memory);

}  // namespace sqf
