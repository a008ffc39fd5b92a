// Element by element functions, n values from x to y; x and y may be the same array.
#pragma once

#include <cstdint>

namespace lrcn::exact {

void relu(int64_t n, const float* x, float negative_slope, float* y);
void sigmoid(int64_t n, const float* x, float* y);
void tanh(int64_t n, const float* x, float* y);

// y = (shift + scale * x) ^ power, with the steps that Caffe leaves out left out.
void power(int64_t n, const float* x, float power, float scale, float shift, float* y);

// The gradient dx of x from dy, that of y. Where x and y have the same sign, relu takes either.
void relu_backward(int64_t n, const float* x, const float* dy, float negative_slope, float* dx);
void sigmoid_backward(int64_t n, const float* y, const float* dy, float* dx);
void tanh_backward(int64_t n, const float* y, const float* dy, float* dx);
void power_backward(int64_t n, const float* x, const float* y, const float* dy, float power, float scale, float shift,
                    float* dx);

}  // namespace lrcn::exact
