#include "exact/neuron.h"

#include <algorithm>
#include <cmath>

#include "exact/blas.h"

namespace lrcn::exact {

void relu(int64_t n, const float* x, float negative_slope, float* y) {
  // The product with the slope stays when the slope is 0: it turns -inf into NaN, as it does in Caffe.
  for (int64_t i = 0; i < n; ++i) y[i] = std::max(x[i], 0.0f) + negative_slope * std::min(x[i], 0.0f);
}

void sigmoid(int64_t n, const float* x, float* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = static_cast<float>(0.5 * std::tanh(0.5 * x[i]) + 0.5);
}

void tanh(int64_t n, const float* x, float* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = std::tanh(x[i]);
}

void power(int64_t n, const float* x, float power, float scale, float shift, float* y) {
  if (power * scale == 0.0f) {
    std::fill(y, y + n, power == 0.0f ? 1.0f : std::pow(shift, power));
    return;
  }
  for (int64_t i = 0; i < n; ++i) {
    float value = x[i];
    if (scale != 1.0f) value *= scale;
    if (shift != 0.0f) value += shift;
    if (power != 1.0f) value = std::pow(value, power);
    y[i] = value;
  }
}

void relu_backward(int64_t n, const float* x, const float* dy, float negative_slope, float* dx) {
  for (int64_t i = 0; i < n; ++i) dx[i] = dy[i] * ((x[i] > 0) + negative_slope * (x[i] <= 0));
}

void sigmoid_backward(int64_t n, const float* y, const float* dy, float* dx) {
  for (int64_t i = 0; i < n; ++i) dx[i] = static_cast<float>(dy[i] * y[i] * (1. - y[i]));
}

void tanh_backward(int64_t n, const float* y, const float* dy, float* dx) {
  for (int64_t i = 0; i < n; ++i) dx[i] = dy[i] * (1.0f - y[i] * y[i]);
}

void power_backward(int64_t n, const float* x, const float* y, const float* dy, float power, float scale, float shift,
                    float* dx) {
  const float slope = power * scale;
  if (slope == 0.0f) {
    std::fill(dx, dx + n, 0.0f);
    return;
  }
  if (power == 1.0f) {
    std::fill(dx, dx + n, slope);
  } else if (power == 2.0f) {
    std::fill(dx, dx + n, 0.0f);
    axpy(n, slope * scale, x, dx);
    if (shift != 0.0f) {
      for (int64_t i = 0; i < n; ++i) dx[i] += slope * shift;
    }
  } else if (shift == 0.0f) {
    for (int64_t i = 0; i < n; ++i) dx[i] = y[i] / x[i] * power;
  } else {
    // slope * y / (shift + scale * x)
    for (int64_t i = 0; i < n; ++i) dx[i] = y[i] / (x[i] * scale + shift) * slope;
  }
  for (int64_t i = 0; i < n; ++i) dx[i] *= dy[i];
}

}  // namespace lrcn::exact
