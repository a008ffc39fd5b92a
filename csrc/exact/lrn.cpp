#include "exact/lrn.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "exact/blas.h"
#include "exact/neuron.h"
#include "exact/pooling.h"

namespace lrcn::exact {

void lrn_across_channels(int64_t channels, int64_t positions, int64_t size, float alpha, float beta, float k,
                         const float* x, float* squares, float* scale, float* y) {
  const int64_t padding = (size - 1) / 2 * positions, count = channels * positions;
  const float alpha_over_size = alpha / static_cast<float>(size);
  std::fill(squares, squares + padding, 0.0f);
  for (int64_t i = 0; i < count; ++i) squares[padding + i] = x[i] * x[i];
  std::fill(squares + padding + count, squares + (channels + size - 1) * positions, 0.0f);

  std::fill(scale, scale + positions, k);
  for (int64_t c = 0; c < size; ++c) axpy(positions, alpha_over_size, squares + c * positions, scale);
  for (int64_t c = 1; c < channels; ++c) {
    float* current = scale + c * positions;
    std::copy(current - positions, current, current);
    axpy(positions, alpha_over_size, squares + (c + size - 1) * positions, current);
    axpy(positions, -alpha_over_size, squares + (c - 1) * positions, current);
  }
  for (int64_t i = 0; i < count; ++i) y[i] = std::pow(scale[i], -beta) * x[i];
}

void lrn_within_channel(int64_t planes, int64_t height, int64_t width, int64_t size, float alpha, float beta,
                        const float* x, float* y) {
  const int64_t pad = (size - 1) / 2, positions = height * width;
  const Pooling pooling{height, width, size, size, 1, 1, pad, pad, height, width};
  std::vector<float> squares(positions), scale(positions);
  for (int64_t plane = 0; plane < planes; ++plane, x += positions, y += positions) {
    power(positions, x, 2.0f, 1.0f, 0.0f, squares.data());
    pooling.average_plane(squares.data(), scale.data());
    power(positions, scale.data(), -beta, alpha, 1.0f, scale.data());
    for (int64_t i = 0; i < positions; ++i) y[i] = x[i] * scale[i];
  }
}

}  // namespace lrcn::exact
