// Convolution of one image as Caffe computes it: im2col, one matrix product per group, the bias added afterwards; and
// its gradients, that of the weight added to what the images before left there.
#pragma once

#include <cstdint>

namespace lrcn::exact {

struct Convolution {
  int64_t channels, height, width;  // of the input image
  int64_t num_output, group;
  int64_t kernel_height, kernel_width;
  int64_t stride_height, stride_width;
  int64_t pad_height, pad_width;
  int64_t dilation_height, dilation_width;

  int64_t output_height() const {
    return (height + 2 * pad_height - (dilation_height * (kernel_height - 1) + 1)) / stride_height + 1;
  }
  int64_t output_width() const {
    return (width + 2 * pad_width - (dilation_width * (kernel_width - 1) + 1)) / stride_width + 1;
  }
  int64_t positions() const { return output_height() * output_width(); }
  int64_t taps_per_output() const { return channels / group * kernel_height * kernel_width; }
  // Floats of scratch space that one image needs.
  int64_t columns_size() const { return channels * kernel_height * kernel_width * positions(); }

  // x (channels, height, width), weight (num_output, channels / group, kernel_height, kernel_width), bias (num_output)
  // or null, columns: scratch space; y (num_output, output_height, output_width).
  void image(const float* x, const float* weight, const float* bias, float* columns, float* y) const;

  // dx from dy, the gradients of x and y.
  void image_backward(const float* dy, const float* weight, float* columns, float* dx) const;
  // Adds to dweight; shares its rows out among threads.
  void add_weight_gradient(const float* x, const float* dy, float* columns, float* dweight) const;
};

}  // namespace lrcn::exact
