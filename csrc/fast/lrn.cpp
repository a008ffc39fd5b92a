#include "fast/lrn.h"

#include <cmath>
#include <vector>

namespace lrcn::fast {

namespace {

// The sums of `size` neighbours, of which `padded` has (size - 1) / 2 zeros before the first and behind the last.
void sum_neighbours(int64_t count, int64_t size, const float* padded, float* sums) {
  for (int64_t c = 0; c < count; ++c) sums[c] = padded[c];
  for (int64_t j = 1; j < size; ++j) {
    for (int64_t c = 0; c < count; ++c) sums[c] += padded[c + j];
  }
}

// s and s ^ -beta of every channel of one position.
struct Scales {
  const Lrn& lrn;
  std::vector<float> padded, s, power;

  explicit Scales(const Lrn& lrn)
      : lrn(lrn), padded(lrn.channels + lrn.size - 1, 0.0f), s(lrn.channels), power(lrn.channels) {}

  float* inside() { return padded.data() + (lrn.size - 1) / 2; }

  void compute(const float* x) {
    const float factor = lrn.alpha / static_cast<float>(lrn.size);
    float* squares = inside();
    for (int64_t c = 0; c < lrn.channels; ++c) squares[c] = x[c] * x[c];
    sum_neighbours(lrn.channels, lrn.size, padded.data(), s.data());
    for (int64_t c = 0; c < lrn.channels; ++c) s[c] = lrn.k + factor * s[c];
    if (lrn.beta == 0.75f) {  // AlexNet's exponent by square roots, which vectorise, where a general power does not
      for (int64_t c = 0; c < lrn.channels; ++c) power[c] = 1.0f / std::sqrt(s[c] * std::sqrt(s[c]));
    } else {
      for (int64_t c = 0; c < lrn.channels; ++c) power[c] = std::pow(s[c], -lrn.beta);
    }
  }
};

}  // namespace

void Lrn::forward(int64_t positions, const float* x, float* y) const {
  Scales scales(*this);
  for (int64_t p = 0; p < positions; ++p, x += channels, y += channels) {
    scales.compute(x);
    for (int64_t c = 0; c < channels; ++c) y[c] = x[c] * scales.power[c];
  }
}

void Lrn::backward(int64_t positions, const float* x, const float* dy, float* dx) const {
  // dx = dy s ^ -beta - 2 alpha beta / size * x * (sum over the neighbours of dy * y / s)
  const float factor = static_cast<float>(2.0 * alpha * beta / static_cast<double>(size));
  Scales scales(*this);
  std::vector<float> sums(channels);
  for (int64_t p = 0; p < positions; ++p, x += channels, dy += channels, dx += channels) {
    scales.compute(x);
    float* ratios = scales.inside();
    for (int64_t c = 0; c < channels; ++c) ratios[c] = dy[c] * x[c] * scales.power[c] / scales.s[c];
    sum_neighbours(channels, size, scales.padded.data(), sums.data());
    for (int64_t c = 0; c < channels; ++c) dx[c] = dy[c] * scales.power[c] - factor * x[c] * sums[c];
  }
}

}  // namespace lrcn::fast
