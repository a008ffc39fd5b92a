// Convolution of 3x3 weights by the algorithm of Winograd, F(2x2, 3x3) of Lavin and Gray, "Fast algorithms for
// convolutional neural networks" (CVPR 2016): a tile of 2x2 outputs takes 16 multiplications per pair of channels
// instead of 36. Between these transforms, which belong to single images and channels, stand 16 products of matrices.
#pragma once

#include <cstdint>

namespace lrcn::fast {

constexpr int64_t POINTS = 16;  // of the transformed tiles, 4x4

// An image (height, width) cut into tiles of 2x2 values, row by row; what lies outside counts as zeros.
struct Tiling {
  int64_t height, width;
  int64_t rows() const { return (height + 1) / 2; }
  int64_t columns() const { return (width + 1) / 2; }
  int64_t count() const { return rows() * columns(); }
};

// `channels` that lie side by side in an image (height, width) with `step` values from pixel to pixel.
struct Channels {
  int64_t height, width, channels, step;
};

// Where the transforms of tile t of an image lie: points[p] + t * channels.
using Points = float* [POINTS];
using ConstPoints = const float* [POINTS];

// B^T d B of the 4x4 inputs d of every tile of outputs, which begin `pad` before it; padding is zeros.
void transform_inputs(const Channels& image, const float* x, const Tiling& outputs, int64_t pad_height,
                      int64_t pad_width, const Points& points);

// y = A^T m A + bias, the outputs; without bias if it is null.
void transform_products(const ConstPoints& points, const float* bias, const Channels& image, float* y);

}  // namespace lrcn::fast
