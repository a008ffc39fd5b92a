// Element by element functions, n values from x to y; x and y may be the same array.
#pragma once

#include <cstdint>

namespace lrcn::exact {

void relu(int64_t n, const float* x, float negative_slope, float* y);
void sigmoid(int64_t n, const float* x, float* y);
void tanh(int64_t n, const float* x, float* y);

// y = (shift + scale * x) ^ power, with the steps that Caffe leaves out left out.
void power(int64_t n, const float* x, float power, float scale, float shift, float* y);

}  // namespace lrcn::exact
