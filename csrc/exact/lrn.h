// Local response normalization of one image: y = x * (k + alpha / size * sum of squares nearby) ^ -beta.
#pragma once

#include <cstdint>

namespace lrcn::exact {

// Sums over `size` neighbouring channels, carried from channel to channel: add the square that enters, subtract the one
// that leaves. x, y, scale: (channels, positions); squares: scratch of (channels + size - 1, positions).
void lrn_across_channels(int64_t channels, int64_t positions, int64_t size, float alpha, float beta, float k,
                         const float* x, float* squares, float* scale, float* y);

// Averages over a square window of the same channel, k being 1. x, y: (planes, height, width).
void lrn_within_channel(int64_t planes, int64_t height, int64_t width, int64_t size, float alpha, float beta,
                        const float* x, float* y);

// The gradient dx of x from y and dy, the output and its gradient.
void lrn_across_channels_backward(int64_t channels, int64_t positions, int64_t size, float alpha, float beta, float k,
                                  const float* x, const float* y, const float* dy, float* dx);
void lrn_within_channel_backward(int64_t planes, int64_t height, int64_t width, int64_t size, float alpha, float beta,
                                 const float* x, const float* dy, float* dx);

}  // namespace lrcn::exact
