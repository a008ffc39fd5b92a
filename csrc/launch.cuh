// Starting kernels. The tests put a header of the same name in its place, with which kernels are plain C++ and run on
// the host.
#pragma once

#include <cuda_runtime.h>

namespace lrcn::gpu {

template <class Kernel, class... Parameters>
cudaError_t launch(Kernel* kernel, dim3 blocks, dim3 threads, cudaStream_t stream, Parameters... parameters) {
  cudaLaunchConfig_t config{};
  config.gridDim = blocks;
  config.blockDim = threads;
  config.stream = stream;
  return cudaLaunchKernelEx(&config, kernel, parameters...);
}

}  // namespace lrcn::gpu
