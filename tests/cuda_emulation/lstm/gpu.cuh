// Stands in for csrc/lstm/gpu.cuh where the kernels are compiled as plain C++: each GPU thread is a thread of the host,
// so that the very code of the kernels runs, and the sanitizers of the host's compiler see every access and every race.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <atomic>
#include <barrier>
#include <cassert>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <thread>
#include <vector>

#include "launch.cuh"

using std::min;

struct __half {
  uint16_t bits = 0;
  __half() = default;
  explicit __half(float x) : bits(_cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT)) {}
  explicit operator float() const { return _cvtsh_ss(bits); }
};

struct __nv_bfloat16 {
  uint16_t bits = 0;
  __nv_bfloat16() = default;
  explicit __nv_bfloat16(float x) {
    uint32_t word;
    std::memcpy(&word, &x, 4);
    bits = static_cast<uint16_t>((word + 0x7fff + (word >> 16 & 1)) >> 16);
  }
  explicit operator float() const {
    const uint32_t word = static_cast<uint32_t>(bits) << 16;
    float x;
    std::memcpy(&x, &word, 4);
    return x;
  }
};

namespace lrcn::gpu {

inline float widened(float x) { return x; }
inline double widened(double x) { return x; }
inline float widened(__half x) { return static_cast<float>(x); }
inline float widened(__nv_bfloat16 x) { return static_cast<float>(x); }

template <class A, class S>
void narrow(A x, S& y) {
  y = static_cast<S>(x);
}

// A copy to shared memory takes place somewhere between its issue and the end of the wait for it. Both ends find their
// own mistakes: early ones overwrite what is still read, late ones are missed by who did not wait.
inline bool early_copies = false;

struct Warp {
  std::barrier<> barrier{32};
  float a[32][4], b[32][2];
};

struct Block {
  std::barrier<> barrier;
  std::vector<Warp> warps;
  void* shared;

  Block(int threads, int64_t shared_memory)
      : barrier(threads), warps(threads / 32), shared(::operator new(shared_memory, std::align_val_t(16))) {
    std::memset(shared, 0xff, shared_memory);  // NaN: what nobody has written must not reach a result
  }
  ~Block() { ::operator delete(shared, std::align_val_t(16)); }
};

struct Copy {
  void* shared;
  const void* global;
};

inline thread_local Block* block = nullptr;
inline thread_local std::deque<std::vector<Copy>> copy_groups;

inline void* shared_memory() { return block->shared; }

inline void copy_16_bytes(void* shared, const void* global) {
  assert(reinterpret_cast<uintptr_t>(shared) % 16 == 0 && reinterpret_cast<uintptr_t>(global) % 16 == 0);
  if (early_copies) {
    std::memcpy(shared, global, 16);
  } else {
    copy_groups.back().push_back({shared, global});
  }
}

inline void end_copy_group() { copy_groups.emplace_back(); }

inline void wait_for_all_but_one_copy_group() {
  while (copy_groups.size() > 2) {  // the latest group and the one that is still open
    for (const Copy& copy : copy_groups.front()) std::memcpy(copy.shared, copy.global, 16);
    copy_groups.pop_front();
  }
}

inline void arrive(uint64_t* counter) { std::atomic_ref(*counter).fetch_add(1, std::memory_order_release); }

inline void wait_for(const uint64_t* counter, uint64_t arrivals) {
  while (std::atomic_ref(*const_cast<uint64_t*>(counter)).load(std::memory_order_acquire) < arrivals) {
    std::this_thread::sleep_for(std::chrono::microseconds(20));
  }
}

template <class A>
A multiply_add(A x, A y, A z) {
  return x * y + z;
}

inline float to_tf32(float x) {
  if (!std::isfinite(x)) return x;
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  bits = (bits + 0x1000) & ~0x1fffu;
  std::memcpy(&x, &bits, 4);
  return x;
}

inline void multiply_tf32(float (&sums)[4], const float (&a)[4], const float (&b)[2]) {
  const int lane = threadIdx.x % 32, i = lane / 4, j = lane % 4;
  Warp& warp = block->warps[threadIdx.x / 32];
  std::copy(a, a + 4, warp.a[lane]);
  std::copy(b, b + 2, warp.b[lane]);
  warp.barrier.arrive_and_wait();
  for (int k = 0; k < 8; ++k) {
    for (int s = 0; s < 4; ++s) {
      const int column = 2 * j + s % 2;
      sums[s] += warp.a[4 * i + k % 4][s / 2 + k / 4 * 2] * warp.b[4 * column + k % 4][k / 4];
    }
  }
  warp.barrier.arrive_and_wait();
}

template <class Kernel, class... Parameters>
cudaError_t launch_together(Kernel* kernel, int64_t blocks, int threads, int64_t shared_memory, cudaStream_t,
                            Parameters... parameters) {
  std::vector<std::unique_ptr<Block>> states;
  for (int64_t b = 0; b < blocks; ++b) states.push_back(std::make_unique<Block>(threads, shared_memory));
  std::vector<std::thread> running;
  for (int64_t index = 0; index < blocks * threads; ++index) {
    running.emplace_back([&, index] {
      blockIdx.x = static_cast<unsigned>(index / threads);
      threadIdx.x = static_cast<unsigned>(index % threads);
      blockDim.x = threads;
      block = states[blockIdx.x].get();
      copy_groups.emplace_back();
      kernel(parameters...);
    });
  }
  for (std::thread& thread : running) thread.join();
  return cudaSuccess;
}

}  // namespace lrcn::gpu

inline void __syncthreads() { lrcn::gpu::block->barrier.arrive_and_wait(); }
