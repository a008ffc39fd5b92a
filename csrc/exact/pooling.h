// Pooling of one plane of one image. A window that reaches over the edge is clipped; the average divides by the part of
// the window that lies on the padded image.
#pragma once

#include <cstdint>

namespace lrcn::exact {

struct Pooling {
  int64_t height, width;  // of the input plane
  int64_t kernel_height, kernel_width;
  int64_t stride_height, stride_width;
  int64_t pad_height, pad_width;
  int64_t output_height, output_width;

  // y (output_height, output_width) from x (height, width); index, of y's size, receives where each maximum lies.
  void max_plane(const float* x, float* y, float* index) const;
  void average_plane(const float* x, float* y) const;

  // The gradient dx of x from dy, that of y, and for the maximum from the index that the forward pass found.
  void max_plane_backward(const float* index, const float* dy, float* dx) const;
  void average_plane_backward(const float* dy, float* dx) const;
};

}  // namespace lrcn::exact
