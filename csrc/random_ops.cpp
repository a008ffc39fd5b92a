// Random numbers from words of the generator, on tensors: `torch.ops.lrcn.exact_normal`.
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <tuple>

#include "exact/normal.h"

namespace lrcn {
namespace {

using at::Tensor;

exact::Ziggurat ziggurat(const Tensor& layers, const char* name, int64_t count) {
  TORCH_CHECK(layers.scalar_type() == at::kDouble && layers.sizes() == at::IntArrayRef({2, count + 1}), name,
              ": widths and heights, float64 of shape ", at::IntArrayRef({2, count + 1}), ", expected, ",
              layers.scalar_type(), " of shape ", layers.sizes(), " given");
  TORCH_CHECK(layers.is_contiguous(), name, ": a dense tensor expected, strides ", layers.strides(), " given");
  const double* first = layers.const_data_ptr<double>();
  return {first, first + count + 1};
}

std::tuple<Tensor, int64_t> exact_normal(const Tensor& words, int64_t count, const Tensor& normal,
                                         const Tensor& exponential) {
  TORCH_CHECK(words.scalar_type() == at::kInt && words.dim() == 1 && words.is_contiguous(),
              "words: a dense vector of 32-bit integers expected, ", words.scalar_type(), " of shape ", words.sizes(),
              " given");
  TORCH_CHECK(count >= 0, "count: 0 or more expected, ", count, " given");
  const Tensor values = at::empty({count}, words.options().dtype(at::kFloat));
  const auto drawn = exact::draw_normal(
      ziggurat(normal, "normal", 128), ziggurat(exponential, "exponential", 256), words.numel(),
      reinterpret_cast<const uint32_t*>(words.const_data_ptr<int32_t>()), count, values.mutable_data_ptr<float>());
  return {values.narrow(0, 0, drawn.values), drawn.words};
}

}  // namespace
}  // namespace lrcn

TORCH_LIBRARY_FRAGMENT(lrcn, m) {
  m.def("exact_normal(Tensor words, int count, Tensor normal, Tensor exponential) -> (Tensor, int)");
}

TORCH_LIBRARY_IMPL(lrcn, CPU, m) { m.impl("exact_normal", lrcn::exact_normal); }
