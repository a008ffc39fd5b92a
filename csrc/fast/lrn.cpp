#include "fast/lrn.h"

#include <cmath>
#include <vector>

#include "vectorised.h"

namespace lrcn::fast {

namespace {

// Room for what belongs to the channels of one position.
struct Scratch {
  std::vector<float> padded, s, power;  // of `padded`, (size - 1) / 2 zeros before the first and behind the last

  explicit Scratch(const Lrn& lrn) : padded(lrn.channels + lrn.size - 1, 0.0f), s(lrn.channels), power(lrn.channels) {}
};

// The sums of `size` neighbours.
LRCN_INLINE void sum_neighbours(int64_t count, int64_t size, const float* padded, float* sums) {
  for (int64_t c = 0; c < count; ++c) sums[c] = padded[c];
  for (int64_t j = 1; j < size; ++j) {
    for (int64_t c = 0; c < count; ++c) sums[c] += padded[c + j];
  }
}

// s and s ^ -beta.
LRCN_INLINE void scales(const Lrn& lrn, const float* x, float* padded, float* s, float* power) {
  const int64_t channels = lrn.channels;
  const float factor = lrn.alpha / static_cast<float>(lrn.size), k = lrn.k;
  float* squares = padded + (lrn.size - 1) / 2;
  for (int64_t c = 0; c < channels; ++c) squares[c] = x[c] * x[c];
  sum_neighbours(channels, lrn.size, padded, s);
  for (int64_t c = 0; c < channels; ++c) s[c] = k + factor * s[c];
  if (lrn.beta == 0.75f) {  // AlexNet's exponent by square roots, which vectorise, where a general power does not
    for (int64_t c = 0; c < channels; ++c) power[c] = 1.0f / std::sqrt(s[c] * std::sqrt(s[c]));
  } else {
    for (int64_t c = 0; c < channels; ++c) power[c] = std::pow(s[c], -lrn.beta);
  }
}

LRCN_VECTORISED
void forward_positions(const Lrn& lrn, int64_t positions, const float* x, float* y, float* padded, float* s,
                       float* power) {
  const int64_t channels = lrn.channels;
  for (int64_t p = 0; p < positions; ++p, x += channels, y += channels) {
    scales(lrn, x, padded, s, power);
    for (int64_t c = 0; c < channels; ++c) y[c] = x[c] * power[c];
  }
}

// dx = dy s ^ -beta - 2 alpha beta / size * x * (sum over the neighbours of dy * y / s)
LRCN_VECTORISED
void backward_positions(const Lrn& lrn, int64_t positions, const float* x, const float* dy, float* dx, float* padded,
                        float* s, float* power, float* sums) {
  const int64_t channels = lrn.channels;
  const float factor = static_cast<float>(2.0 * lrn.alpha * lrn.beta / static_cast<double>(lrn.size));
  float* ratios = padded + (lrn.size - 1) / 2;
  for (int64_t p = 0; p < positions; ++p, x += channels, dy += channels, dx += channels) {
    scales(lrn, x, padded, s, power);
    for (int64_t c = 0; c < channels; ++c) ratios[c] = dy[c] * x[c] * power[c] / s[c];
    sum_neighbours(channels, lrn.size, padded, sums);
    for (int64_t c = 0; c < channels; ++c) dx[c] = dy[c] * power[c] - factor * x[c] * sums[c];
  }
}

}  // namespace

void Lrn::forward(int64_t positions, const float* x, float* y) const {
  Scratch scratch(*this);
  forward_positions(*this, positions, x, y, scratch.padded.data(), scratch.s.data(), scratch.power.data());
}

void Lrn::backward(int64_t positions, const float* x, const float* dy, float* dx) const {
  Scratch scratch(*this);
  std::vector<float> sums(channels);
  backward_positions(*this, positions, x, dy, dx, scratch.padded.data(), scratch.s.data(), scratch.power.data(),
                     sums.data());
}

}  // namespace lrcn::fast
