// Gradients of the layer that multiplies x (outer, factors, inner) by a scale (factors) and adds a bias (factors); the
// products and sums of its forward pass need no particular order.
#pragma once

#include <cstdint>

namespace lrcn::exact {

struct Scale {
  int64_t outer, factors, inner;

  // dx = scale * dy.
  void backward(const float* scale, const float* dy, float* dx) const;
  // Sums dy * x over outer and inner into dscale: adds to what is there, or replaces it. With one outer part and
  // several factors it always replaces it, as Caffe does.
  void scale_gradient(const float* x, const float* dy, bool accumulate, float* dscale) const;
  // Adds the sums of dy over outer and inner to dbias; the bias of a convolution has the same gradient.
  void add_bias_gradient(const float* dy, float* dbias) const;
};

}  // namespace lrcn::exact
