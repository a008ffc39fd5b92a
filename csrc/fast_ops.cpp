// The ops of the fast path on tensors, `torch.ops.lrcn.fast_*`: float32 on the CPU, images in channels_last.
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/library.h>

#include <algorithm>

#include "fast/log_sum_exp.h"
#include "fast/lrn.h"

namespace lrcn {
namespace {

using at::Tensor;

constexpr int64_t POSITIONS_PER_TASK = 256, VALUES_PER_TASK = 1 << 15;

Tensor images(const Tensor& tensor, const char* name) {
  TORCH_CHECK(tensor.scalar_type() == at::kFloat && tensor.dim() == 4, name,
              ": float32 images with four axes expected, ", tensor.scalar_type(), " of shape ", tensor.sizes(),
              " given");
  return tensor.contiguous(at::MemoryFormat::ChannelsLast);
}

fast::Lrn lrn_of(const Tensor& x, int64_t size, double alpha, double beta, double k) {
  TORCH_CHECK(size > 0 && size % 2 == 1, "size: an odd number of channels expected, ", size, " given");
  return {x.size(1), size, static_cast<float>(alpha), static_cast<float>(beta), static_cast<float>(k)};
}

Tensor fast_lrn(const Tensor& x, int64_t size, double alpha, double beta, double k) {
  const fast::Lrn lrn = lrn_of(x, size, alpha, beta, k);
  const Tensor source = images(x, "x");
  Tensor y = at::empty_like(source);
  const float* from = source.const_data_ptr<float>();
  float* to = y.mutable_data_ptr<float>();
  at::parallel_for(0, x.size(0) * x.size(2) * x.size(3), POSITIONS_PER_TASK, [&](int64_t begin, int64_t end) {
    lrn.forward(end - begin, from + begin * lrn.channels, to + begin * lrn.channels);
  });
  return y;
}

Tensor fast_lrn_backward(const Tensor& dy, const Tensor& x, int64_t size, double alpha, double beta, double k) {
  const fast::Lrn lrn = lrn_of(x, size, alpha, beta, k);
  TORCH_CHECK(dy.sizes() == x.sizes(), "dy: shape ", x.sizes(), " expected, ", dy.sizes(), " given");
  const Tensor source = images(x, "x"), gradient = images(dy, "dy");
  Tensor dx = at::empty_like(source);
  const float* from = source.const_data_ptr<float>();
  const float* dy_from = gradient.const_data_ptr<float>();
  float* to = dx.mutable_data_ptr<float>();
  at::parallel_for(0, x.size(0) * x.size(2) * x.size(3), POSITIONS_PER_TASK, [&](int64_t begin, int64_t end) {
    const int64_t offset = begin * lrn.channels;
    lrn.backward(end - begin, from + offset, dy_from + offset, to + offset);
  });
  return dx;
}

Tensor fast_log_sum_exp(const Tensor& x) {
  TORCH_CHECK(x.scalar_type() == at::kFloat && x.dim() > 0 && x.size(-1) > 0,
              "x: float32 with a last axis that is not empty expected, ", x.scalar_type(), " of shape ", x.sizes(),
              " given");
  const Tensor source = x.contiguous();
  Tensor y = at::empty(x.sizes().slice(0, x.dim() - 1), x.options());
  const int64_t count = x.size(-1);
  const float* from = source.const_data_ptr<float>();
  float* to = y.mutable_data_ptr<float>();
  at::parallel_for(0, y.numel(), std::max<int64_t>(VALUES_PER_TASK / count, 1), [&](int64_t begin, int64_t end) {
    fast::log_sum_exp(end - begin, count, from + begin * count, to + begin);
  });
  return y;
}

}  // namespace
}  // namespace lrcn

TORCH_LIBRARY_FRAGMENT(lrcn, m) {
  m.def("fast_lrn(Tensor x, int size, float alpha, float beta, float k) -> Tensor");
  m.def("fast_lrn_backward(Tensor dy, Tensor x, int size, float alpha, float beta, float k) -> Tensor");
  m.def("fast_log_sum_exp(Tensor x) -> Tensor");
}

TORCH_LIBRARY_IMPL(lrcn, CPU, m) {
  m.impl("fast_lrn", lrcn::fast_lrn);
  m.impl("fast_lrn_backward", lrcn::fast_lrn_backward);
  m.impl("fast_log_sum_exp", lrcn::fast_log_sum_exp);
}
