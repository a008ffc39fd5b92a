#include "exact/neuron.h"

#include <algorithm>
#include <cmath>

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

}  // namespace lrcn::exact
