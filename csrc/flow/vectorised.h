// Marks a function whose loops are compiled for several instruction sets; the machine's best is taken at run time.
// No multiplication is fused with an addition in any of them, so that all give the same bits.
#pragma once

#if defined(__x86_64__) && defined(__gnu_linux__)
#define LRCN_VECTORISED __attribute__((target_clones("avx512f", "avx2", "default")))
#define LRCN_INLINE static inline __attribute__((always_inline))  // into such functions
#else
#define LRCN_VECTORISED
#define LRCN_INLINE static inline
#endif
