#include "runtime/cpu/isa.hpp"

#include <algorithm>
#include <cstdlib>
#include <string_view>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace sqf {

Isa detected_isa() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  // clang has no name for F16C there; avx2 also says that the system keeps the wide registers.
  unsigned a = 0, b = 0, c = 0, d = 0;
  const bool f16c = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C) != 0;
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && f16c;
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vnni");
  if (avx2 && avx512) return Isa::avx512_vnni;
  if (avx2) return Isa::avx2;
#endif
  return Isa::scalar;
}

Isa best_isa() {
  const Isa detected = detected_isa();
  const char* wish = std::getenv("SQF_ISA");
  if (wish == nullptr) return detected;
  const std::string_view name = wish;
  if (name == "scalar") return Isa::scalar;
  if (name == "avx2") return std::min(detected, Isa::avx2);
  return detected;
}

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::avx2:
      return "avx2";
    case Isa::avx512_vnni:
      return "avx512";
    default:
      return "scalar";
  }
}

}  // namespace sqf
