#pragma once
// The real model that some tests run: named by the environment, converted once per program. A
// test that needs one is skipped where the variable is not set; tests/run.sh sets both.

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "converter/convert.hpp"
#include "tests/loader/sample_file.hpp"

namespace sqf {

/// Folder that holds the converted files until the program ends.
inline const TemporaryFolder& real_model_folder() {
  static const TemporaryFolder folder;
  return folder;
}

/// Converts what the environment variable names; the path of the .sqf file, made on first use.
inline Result<std::filesystem::path> converted(const char* variable, const std::string& name,
                                               const PlanOptions& options) {
  const std::filesystem::path path = real_model_folder() / name;
  if (std::filesystem::exists(path)) return path;
  auto source = open_source(std::getenv(variable));
  if (!source) return source.error();
  auto plan = make_plan(*source, options);
  if (!plan) return plan.error();
  ConvertOptions convert_options;
  convert_options.threads = 2;
  if (auto r = convert(*source, *plan, path, convert_options); !r) return r.error();
  return path;
}

inline PlanOptions method_options(Method method) {
  PlanOptions options;
  options.linear.method = options.head.method = method;
  return options;
}

}  // namespace sqf

#define SQF_NEEDS(variable) \
  if (std::getenv(variable) == nullptr) GTEST_SKIP() << variable << " is not set"
