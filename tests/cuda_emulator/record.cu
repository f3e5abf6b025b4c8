// What real tensor cores make of given registers: one kernel per instruction of matrix_list.hpp,
// run by one warp, for recordings that the emulated instructions must reproduce. In no product.
//
// Registers are uint32 [register][lane] in a, b, c and d alike. record_NAME(a, b, c, d), with the
// NAME of the list. The kernels for FP8 are there from compute capability 8.9 on, those for
// stmatrix from 9.0.
#include <cstdint>

#include "tests/cuda_emulator/matrix_list.hpp"

namespace {

template <int count>
__device__ void load(uint32_t (&registers)[count], const uint32_t* from) {
  for (int i = 0; i < count; i++) registers[i] = from[i * 32 + threadIdx.x];
}

template <int count>
__device__ void store(const uint32_t (&registers)[count], uint32_t* to) {
  for (int i = 0; i < count; i++) to[i * 32 + threadIdx.x] = registers[i];
}

}  // namespace

// Operands of asm() by the number of registers of a, b, and of c and d; NAMES are those of the PTX
// operands.
#define SQF_NAMES_2_1_2 " {%0,%1}, {%2,%3}, {%4}, {%5,%6};"
#define SQF_NAMES_2_1_4 " {%0,%1,%2,%3}, {%4,%5}, {%6}, {%7,%8,%9,%10};"
#define SQF_NAMES_4_2_2 " {%0,%1}, {%2,%3,%4,%5}, {%6,%7}, {%8,%9};"
#define SQF_NAMES_4_2_4 " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%11,%12,%13};"
#define SQF_IN_1(x) "r"(x[0])
#define SQF_IN_2(x) "r"(x[0]), "r"(x[1])
#define SQF_IN_4(x) "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3])
#define SQF_OUT_2(x) "=r"(x[0]), "=r"(x[1])
#define SQF_OUT_4(x) "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])

#define SQF_RECORD_MMA(NAME, SUFFIX, A, B, C)                                              \
  extern "C" __global__ void record_##NAME(const uint32_t* a_from, const uint32_t* b_from, \
                                           const uint32_t* c_from, uint32_t* d_to) {       \
    uint32_t a[A], b[B], c[C], d[C];                                                       \
    load(a, a_from);                                                                       \
    load(b, b_from);                                                                       \
    load(c, c_from);                                                                       \
    asm volatile("mma.sync.aligned." SUFFIX SQF_NAMES_##A##_##B##_##C                      \
                 : SQF_OUT_##C(d)                                                          \
                 : SQF_IN_##A(a), SQF_IN_##B(b), SQF_IN_##C(c));                           \
    store(d, d_to);                                                                        \
  }

SQF_MMA_LIST(SQF_RECORD_MMA)
#if __CUDA_ARCH__ >= 890
SQF_MMA_LIST_FP8(SQF_RECORD_MMA)
#endif

// ldmatrix and stmatrix: shared memory is 2 KiB, `offsets` [32] the lanes' addresses in it in
// bytes, d or s [4][lane]. Every register that the instruction does not write stays 0.
#define SQF_SHARED_WORDS 512
#define SQF_RECORD_LOAD(NAME, SUFFIX, COUNT)                                               \
  extern "C" __global__ void record_##NAME(const uint32_t* words, const uint32_t* offsets, \
                                           uint32_t* d_to) {                               \
    __shared__ alignas(16) uint32_t shared[SQF_SHARED_WORDS];                              \
    for (int i = threadIdx.x; i < SQF_SHARED_WORDS; i += 32) shared[i] = words[i];         \
    __syncwarp();                                                                          \
    const auto address =                                                                   \
        static_cast<uint32_t>(__cvta_generic_to_shared(shared)) + offsets[threadIdx.x];    \
    uint32_t d[4] = {};                                                                    \
    asm volatile("ldmatrix.sync.aligned.m8n8." SUFFIX ", [%" #COUNT "];"                   \
                 : SQF_OUT_##COUNT(d)                                                      \
                 : "r"(address)                                                            \
                 : "memory");                                                              \
    store(d, d_to);                                                                        \
  }
#define SQF_RECORD_STORE(NAME, SUFFIX, COUNT)                                               \
  extern "C" __global__ void record_##NAME(const uint32_t* s_from, const uint32_t* offsets, \
                                           uint32_t* words) {                               \
    __shared__ alignas(16) uint32_t shared[SQF_SHARED_WORDS];                               \
    for (int i = threadIdx.x; i < SQF_SHARED_WORDS; i += 32) shared[i] = words[i];          \
    __syncwarp();                                                                           \
    const auto address =                                                                    \
        static_cast<uint32_t>(__cvta_generic_to_shared(shared)) + offsets[threadIdx.x];     \
    uint32_t s[4];                                                                          \
    load(s, s_from);                                                                        \
    asm volatile("stmatrix.sync.aligned.m8n8." SUFFIX ";" ::"r"(address), SQF_IN_##COUNT(s) \
                 : "memory");                                                               \
    __syncwarp();                                                                           \
    for (int i = threadIdx.x; i < SQF_SHARED_WORDS; i += 32) words[i] = shared[i];          \
  }
#define SQF_OUT_1(x) "=r"(x[0])

SQF_LDMATRIX_LIST(SQF_RECORD_LOAD)
#if __CUDA_ARCH__ >= 900
SQF_STMATRIX_LIST(SQF_RECORD_STORE)
#endif
