// e^x by arithmetic without a call or a branch, which a compiler vectorises, on the host and on a GPU.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#ifdef __CUDACC__
#define LRCN_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define LRCN_HOST_DEVICE inline
#endif

namespace lrcn {

// e^x in two factors: x = n ln 2 + r with |r| <= ln 2 / 2. Beyond -87 and 87 it stays what it is there; NaN stays NaN.
struct Exponential {
  float power;      // 2^n
  float remainder;  // e^r - 1

  LRCN_HOST_DEVICE explicit Exponential(float x) {
    // One choice and no constant: of two, compilers make a way of its own for each, and divide twice where it is used.
    x = fabsf(x) > 87.0f ? copysignf(87.0f, x) : x;
    const float shift = 12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest integer in the lowest bits
    const float shifted = x * 1.44269504f + shift;
    const float n = shifted - shift;
    const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;  // ln 2 in two parts, the first exact times n
    float p = 1.0f / 5040.0f;
    p = p * r + 1.0f / 720.0f;
    p = p * r + 1.0f / 120.0f;
    p = p * r + 1.0f / 24.0f;
    p = p * r + 1.0f / 6.0f;
    p = p * r + 0.5f;
    remainder = p * (r * r) + r;
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 127u) << 23;
    memcpy(&power, &bits, sizeof power);
  }
};

LRCN_HOST_DEVICE float exponential(float x) {
  const Exponential e(x);
  return e.power * e.remainder + e.power;
}

// e^x - 1, to the last bits near 0 too.
LRCN_HOST_DEVICE float exp_minus_1(float x) {
  const Exponential e(x);
  return e.power * e.remainder + (e.power - 1.0f);
}

LRCN_HOST_DEVICE double exp_minus_1(double x) {
  // Beyond, a quotient of two such values would be infinity / infinity.
  return ::expm1(x > 709.0 ? 709.0 : x);
}

}  // namespace lrcn
