// Stands in for csrc/launch.cuh where kernels are compiled as plain C++.
#pragma once

#include <cstdint>
#include <cstring>

#include "cuda_runtime_api.h"

#define __global__
#define __host__
#define __device__
#define __grid_constant__
#define __launch_bounds__(...)

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  dim3() = default;
  dim3(unsigned x, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
inline thread_local dim3 threadIdx(0, 0, 0), blockIdx(0, 0, 0), blockDim;

namespace lrcn::gpu {

// Threads run one after the other, which will do for a kernel without a barrier; in the opposite order as well, which
// changes the result of a kernel whose threads do not leave each other alone.
inline bool backwards = false;

template <class Kernel, class... Parameters>
cudaError_t launch(Kernel* kernel, dim3 blocks, dim3 threads, cudaStream_t, Parameters... parameters) {
  blockDim = threads;
  const auto index = [](int64_t i, dim3 size) {
    return dim3(static_cast<unsigned>(i % size.x), static_cast<unsigned>(i / size.x % size.y),
                static_cast<unsigned>(i / size.x / size.y));
  };
  const int64_t threads_of_block = static_cast<int64_t>(threads.x) * threads.y * threads.z;
  const int64_t count = threads_of_block * blocks.x * blocks.y * blocks.z;
  for (int64_t step = 0; step < count; ++step) {
    const int64_t i = backwards ? count - 1 - step : step;
    blockIdx = index(i / threads_of_block, blocks);
    threadIdx = index(i % threads_of_block, threads);
    kernel(parameters...);
  }
  return cudaSuccess;
}

}  // namespace lrcn::gpu

inline cudaError_t cudaMemsetAsync(void* target, int value, size_t bytes, cudaStream_t) {
  std::memset(target, value, bytes);
  return cudaSuccess;
}
