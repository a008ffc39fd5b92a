// What the ops of the exact kernels share: reading tensors as the kernels want them, and checking them.
#pragma once

#include <algorithm>

#include "exact/convolution.h"
#include "exact/pooling.h"
#include "exact_ops.h"

namespace lrcn {

// Elements of a cheap function that one thread should have at least.
constexpr int64_t GRAIN = 1 << 15;

// The tensor as the kernels read it: float32, on the CPU, dense.
inline Tensor dense(const Tensor& tensor, const char* name) {
  TORCH_CHECK(tensor.scalar_type() == at::kFloat, name, ": float32 expected, ", tensor.scalar_type(), " given");
  TORCH_CHECK(tensor.device().is_cpu(), name, ": a tensor on the CPU expected, ", tensor.device(), " given");
  return tensor.contiguous();
}

inline OptionalTensor dense(const OptionalTensor& tensor, const char* name) {
  return tensor ? OptionalTensor(dense(*tensor, name)) : std::nullopt;
}

inline const float* data(const Tensor& tensor) { return tensor.const_data_ptr<float>(); }
inline const float* data(const OptionalTensor& tensor) { return tensor ? data(*tensor) : nullptr; }
inline float* out(Tensor& tensor) { return tensor.mutable_data_ptr<float>(); }

inline void check_shape(const Tensor& tensor, const char* name, IntArrayRef expected) {
  TORCH_CHECK(tensor.sizes() == expected, name, ": shape ", expected, " expected, ", tensor.sizes(), " given");
}

inline void check_rank(const Tensor& tensor, const char* name, int64_t rank) {
  TORCH_CHECK(tensor.dim() == rank, name, ": ", rank, " axes expected, shape ", tensor.sizes(), " given");
}

// Product of the sizes of axes begin..end-1.
inline int64_t count(const Tensor& tensor, int64_t begin, int64_t end) {
  int64_t product = 1;
  for (int64_t axis = begin; axis < end; ++axis) product *= tensor.size(axis);
  return product;
}

inline exact::Pooling pooling(const Tensor& x, IntArrayRef kernel, IntArrayRef stride, IntArrayRef pad,
                              IntArrayRef output_size) {
  check_rank(x, "x", 4);
  return {x.size(2), x.size(3), kernel[0], kernel[1],      stride[0],
          stride[1], pad[0],    pad[1],    output_size[0], output_size[1]};
}

inline exact::Convolution convolution(const Tensor& x, const Tensor& weight, IntArrayRef stride, IntArrayRef pad,
                                      IntArrayRef dilation, int64_t group) {
  check_rank(x, "x", 4);
  check_rank(weight, "weight", 4);
  TORCH_CHECK(group > 0 && x.size(1) == weight.size(1) * group && weight.size(0) % group == 0, "x of shape ", x.sizes(),
              " does not fit weights of shape ", weight.sizes(), " in ", group, " groups");
  const exact::Convolution convolution{x.size(1),      x.size(2),      x.size(3),  weight.size(0), group,
                                       weight.size(2), weight.size(3), stride[0],  stride[1],      pad[0],
                                       pad[1],         dilation[0],    dilation[1]};
  TORCH_CHECK(convolution.output_height() > 0 && convolution.output_width() > 0, "x of shape ", x.sizes(),
              " is smaller than the kernel of weights of shape ", weight.sizes());
  return convolution;
}

// The layout of the classes of a softmax: (outer, classes, positions).
struct ClassLayout {
  int64_t outer, classes, positions;

  ClassLayout(const Tensor& x, int64_t axis) {
    TORCH_CHECK(axis >= 0 && axis < x.dim(), "axis: one of the axes of shape ", x.sizes(), " expected, ", axis,
                " given");
    outer = count(x, 0, axis);
    classes = x.size(axis);
    positions = count(x, axis + 1, x.dim());
  }
  int64_t block() const { return classes * positions; }
};

// How many blocks of `size` elements one thread should have at least.
inline int64_t grain_of(int64_t size) { return std::max<int64_t>(1, GRAIN / std::max<int64_t>(1, size)); }

}  // namespace lrcn
