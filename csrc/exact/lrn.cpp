#include "exact/lrn.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "exact/blas.h"
#include "exact/neuron.h"
#include "exact/pooling.h"

namespace lrcn::exact {

namespace {

// scale = k + alpha / size * sum of the squares of `size` channels, carried from channel to channel.
void scale_across_channels(int64_t channels, int64_t positions, int64_t size, float alpha, float k, const float* x,
                           float* squares, float* scale) {
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
}

// What lies between the input of one plane and its scale (1 + alpha * mean of squares) ^ -beta.
struct PlaneScale {
  Pooling pooling;
  float alpha, beta;
  std::vector<float> squares, means, scale;

  PlaneScale(int64_t height, int64_t width, int64_t size, float alpha, float beta)
      : pooling{height, width, size, size, 1, 1, (size - 1) / 2, (size - 1) / 2, height, width},
        alpha(alpha),
        beta(beta),
        squares(height * width),
        means(height * width),
        scale(height * width) {}

  void compute(const float* x) {
    power(squares.size(), x, 2.0f, 1.0f, 0.0f, squares.data());
    pooling.average_plane(squares.data(), means.data());
    power(squares.size(), means.data(), -beta, alpha, 1.0f, scale.data());
  }
};

}  // namespace

void lrn_across_channels(int64_t channels, int64_t positions, int64_t size, float alpha, float beta, float k,
                         const float* x, float* squares, float* scale, float* y) {
  scale_across_channels(channels, positions, size, alpha, k, x, squares, scale);
  for (int64_t i = 0; i < channels * positions; ++i) y[i] = std::pow(scale[i], -beta) * x[i];
}

void lrn_across_channels_backward(int64_t channels, int64_t positions, int64_t size, float alpha, float beta, float k,
                                  const float* x, const float* y, const float* dy, float* dx) {
  const int64_t padding = (size - 1) / 2 * positions, count = channels * positions;
  std::vector<float> padded((channels + size - 1) * positions), scale(count), sum(positions, 0.0f), term(positions);
  scale_across_channels(channels, positions, size, alpha, k, x, padded.data(), scale.data());
  for (int64_t i = 0; i < count; ++i) dx[i] = dy[i] * std::pow(scale[i], -beta);

  // dx -= 2 alpha beta / size * x * (sum over `size` channels of dy * y / scale), again carried along the channels.
  const float factor = static_cast<float>(2. * alpha * beta / static_cast<double>(size));
  float* ratio = padded.data();  // the padding that the squares left there is zero
  for (int64_t i = 0; i < count; ++i) ratio[padding + i] = dy[i] * y[i] / scale[i];
  for (int64_t c = 0; c < size - 1; ++c) axpy(positions, 1.0f, ratio + c * positions, sum.data());
  for (int64_t c = 0; c < channels; ++c) {
    axpy(positions, 1.0f, ratio + (c + size - 1) * positions, sum.data());
    for (int64_t p = 0; p < positions; ++p) term[p] = x[c * positions + p] * sum[p];
    axpy(positions, -factor, term.data(), dx + c * positions);
    axpy(positions, -1.0f, ratio + c * positions, sum.data());
  }
}

void lrn_within_channel(int64_t planes, int64_t height, int64_t width, int64_t size, float alpha, float beta,
                        const float* x, float* y) {
  const int64_t positions = height * width;
  PlaneScale plane(height, width, size, alpha, beta);
  for (int64_t i = 0; i < planes; ++i, x += positions, y += positions) {
    plane.compute(x);
    for (int64_t p = 0; p < positions; ++p) y[p] = x[p] * plane.scale[p];
  }
}

void lrn_within_channel_backward(int64_t planes, int64_t height, int64_t width, int64_t size, float alpha, float beta,
                                 const float* x, const float* dy, float* dx) {
  const int64_t positions = height * width;
  PlaneScale plane(height, width, size, alpha, beta);
  std::vector<float> dscale(positions), dmeans(positions), dsquares(positions), dsquared(positions);
  for (int64_t i = 0; i < planes; ++i, x += positions, dy += positions, dx += positions) {
    plane.compute(x);
    for (int64_t p = 0; p < positions; ++p) dscale[p] = x[p] * dy[p];
    power_backward(positions, plane.means.data(), plane.scale.data(), dscale.data(), -beta, alpha, 1.0f, dmeans.data());
    plane.pooling.average_plane_backward(dmeans.data(), dsquares.data());
    power_backward(positions, x, plane.squares.data(), dsquares.data(), 2.0f, 1.0f, 0.0f, dsquared.data());
    for (int64_t p = 0; p < positions; ++p) dx[p] = plane.scale[p] * dy[p] + dsquared[p];
  }
}

}  // namespace lrcn::exact
