// Marks a function whose loops are compiled for several instruction sets; the machine's best is taken at run time.
// No multiplication is fused with an addition in any of them, nor on a GPU, so that all give the same bits.
#pragma once

#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(__CUDACC__)
#define LRCN_VECTORISED __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define LRCN_VECTORISED
#endif

// A function that is compiled into such functions, and into the kernels of a GPU.
#if defined(__CUDACC__)
#define LRCN_INLINE static __device__ __forceinline__
#elif defined(__GNUC__)
#define LRCN_INLINE static inline __attribute__((always_inline))
#else
#define LRCN_INLINE static inline
#endif
