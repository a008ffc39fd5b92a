#include "matrix_product.h"

#include <ATen/Parallel.h>
#include <ATen/core/List.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <torch/library.h>

#include <string_view>

#include "transpose.h"

namespace lrcn {

namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

// For fewer rows oneDNN, which prepares b anew in each call, may be the slower one.
constexpr int64_t MANY_ROWS = 16;

Tensor one_dnn_product(const Tensor& a, const Tensor& b, const OptionalTensor& bias) {
  using Scalars = c10::List<std::optional<at::Scalar>>;
  static const auto linear = c10::Dispatcher::singleton()
                                 .findSchemaOrThrow("mkldnn::_linear_pointwise", "")
                                 .typed<Tensor(const Tensor&, const Tensor&, const OptionalTensor&, std::string_view,
                                               Scalars, std::optional<std::string_view>)>();
  return linear.call(a, b, bias, "none", Scalars(), "");
}

Tensor one_dnn_weights(const Tensor& b, int64_t rows) {
  static const auto reorder = c10::Dispatcher::singleton()
                                  .findSchemaOrThrow("mkldnn::_reorder_linear_weight", "")
                                  .typed<Tensor(const Tensor&, std::optional<int64_t>)>();
  return reorder.call(b, rows);
}

// float32 rows without gaps. PyTorch turns a transposed matrix in one thread.
Tensor dense_rows(const Tensor& a) {
  if (a.stride(0) != 1 || a.stride(1) < a.size(0) || a.is_contiguous()) return a.contiguous();
  const Tensor rows = at::empty(a.sizes(), a.options());
  const float* from = a.const_data_ptr<float>();
  float* to = rows.mutable_data_ptr<float>();
  at::parallel_for(0, a.size(0), 64, [&](int64_t begin, int64_t end) {
    transpose(a.size(1), from, a.stride(1), to, a.size(1), begin, end);
  });
  return rows;
}

}  // namespace

PreparedWeights::PreparedWeights(const Tensor& b, int64_t rows) : b_(one_dnn_weights(b, rows)) {}

Tensor PreparedWeights::product(const Tensor& a) const { return one_dnn_product(a, b_, {}); }

Tensor matrix_product(const Tensor& a, const Tensor& b, const OptionalTensor& bias) {
  const bool empty = a.numel() == 0 || b.numel() == 0;
  if (a.is_cpu() && a.scalar_type() == at::kFloat && a.size(0) >= MANY_ROWS && !empty) {
    return one_dnn_product(dense_rows(a), b, bias);
  }
  return bias ? at::addmm(*bias, a, b.t()) : at::mm(a, b.t());
}

}  // namespace lrcn

TORCH_LIBRARY_FRAGMENT(lrcn, m) { m.def("matrix_product(Tensor a, Tensor b, Tensor? bias=None) -> Tensor"); }

TORCH_LIBRARY_IMPL(lrcn, CPU, m) { m.impl("matrix_product", lrcn::matrix_product); }
