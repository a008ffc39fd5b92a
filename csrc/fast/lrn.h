// Local response normalization across channels, in one pass over images whose channels lie side by side.
#pragma once

#include <cstdint>

namespace lrcn::fast {

// y = x * s ^ -beta, s = k + alpha / size * sum of the squares of `size` neighbouring channels; size is odd.
struct Lrn {
  int64_t channels, size;
  float alpha, beta, k;

  // x, y: (positions, channels).
  void forward(int64_t positions, const float* x, float* y) const;

  // The gradient dx of x, from x and the gradient dy of y.
  void backward(int64_t positions, const float* x, const float* dy, float* dx) const;
};

}  // namespace lrcn::fast
