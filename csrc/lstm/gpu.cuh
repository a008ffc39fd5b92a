// What the kernels ask of the GPU beyond plain C++, one small function each. The tests put a header of the same name
// in its place, where every function is plain C++ and every thread a thread of the host, and run the kernels so.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>

#include "launch.cuh"

namespace lrcn::gpu {

// Between the type of storage and the type of sums. (torch's build turns the casts of the 16-bit types off.)
__device__ inline float widened(float x) { return x; }
__device__ inline double widened(double x) { return x; }
__device__ inline float widened(__half x) { return __half2float(x); }
__device__ inline float widened(__nv_bfloat16 x) { return __bfloat162float(x); }

__device__ inline void narrow(float x, float& y) { y = x; }
__device__ inline void narrow(double x, double& y) { y = x; }
__device__ inline void narrow(float x, __half& y) { y = __float2half_rn(x); }
__device__ inline void narrow(float x, __nv_bfloat16& y) { y = __float2bfloat16_rn(x); }

// The block's dynamic shared memory.
__device__ inline void* shared_memory() {
  extern __shared__ uint4 memory[];
  return memory;
}

// 16 bytes from global to shared memory, both aligned to 16; past the L1 cache, whose lines other blocks may have
// overwritten. Copies form groups in the order of their issue.
__device__ inline void copy_16_bytes(void* shared, const void* global) {
  const uint32_t address = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(address), "l"(global) : "memory");
}
__device__ inline void end_copy_group() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits for this thread's copies but those of the latest group.
__device__ inline void wait_for_all_but_one_copy_group() { asm volatile("cp.async.wait_group 1;" ::: "memory"); }

// A counter in global memory that blocks meet at. What a thread's block wrote before the arrival (with a barrier of the
// block between) is seen by all that have waited for it.
__device__ inline void arrive(uint64_t* counter) {
  asm volatile("red.release.gpu.global.add.u64 [%0], 1;" ::"l"(counter) : "memory");
}
__device__ inline void wait_for(const uint64_t* counter, uint64_t arrivals) {
  uint64_t seen;
  do {
    asm volatile("ld.acquire.gpu.global.u64 %0, [%1];" : "=l"(seen) : "l"(counter) : "memory");
  } while (seen < arrivals);
}

// x y + z, rounded once: the build lets the compiler fuse nothing by itself.
__device__ inline float multiply_add(float x, float y, float z) { return __fmaf_rn(x, y, z); }
__device__ inline double multiply_add(double x, double y, double z) { return __fma_rn(x, y, z); }

// The nearest number of TF32's eleven bits.
__device__ inline float to_tf32(float x) {
  uint32_t bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
  return __uint_as_float(bits);
}

// sums (16, 8) += a (16, 8) b (8, 8), by a whole warp. Of lane l with i = l / 4 and j = l % 4: a = a(i, j), a(i + 8,
// j), a(i, j + 4), a(i + 8, j + 4); b = b(j, i), b(j + 4, i); sums = (i, 2j), (i, 2j + 1), (i + 8, 2j), (i + 8, 2j +
// 1).
__device__ inline void multiply_tf32(float (&sums)[4], const float (&a)[4], const float (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
      "%3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(__float_as_uint(a[0])), "r"(__float_as_uint(a[1])), "r"(__float_as_uint(a[2])), "r"(__float_as_uint(a[3])),
        "r"(__float_as_uint(b[0])), "r"(__float_as_uint(b[1])));
}

// Starts `blocks` blocks at once, all of them resident until the last one ends.
template <class Kernel, class... Parameters>
cudaError_t launch_together(Kernel* kernel, int64_t blocks, int threads, int64_t shared_memory, cudaStream_t stream,
                            Parameters... parameters) {
  cudaError_t error =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_memory));
  if (error != cudaSuccess) return error;
  cudaLaunchAttribute cooperative{};
  cooperative.id = cudaLaunchAttributeCooperative;
  cooperative.val.cooperative = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(blocks));
  config.blockDim = dim3(threads);
  config.dynamicSmemBytes = shared_memory;
  config.stream = stream;
  config.attrs = &cooperative;
  config.numAttrs = 1;
  return cudaLaunchKernelEx(&config, kernel, parameters...);
}

}  // namespace lrcn::gpu
