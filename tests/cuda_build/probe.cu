// The smallest kernels that show what the build does: shared memory, a header, code that depends on the architecture.
#include <cuda_fp16.h>

#include "tests/cuda_build/probe.cuh"

extern "C" __global__ void reverse_256(half* values) {
  __shared__ half staged[256];
  staged[threadIdx.x] = values[threadIdx.x];
  __syncthreads();
  values[threadIdx.x] = staged[255 - threadIdx.x];
}

extern "C" __global__ void compiled_for(int* arch) { *arch = kOffset + __CUDA_ARCH__; }
