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

// Whether the columns of a lie one after the other, as the rows of a transposed matrix.
bool is_turned(const Tensor& a) { return a.stride(0) == 1 && a.stride(1) >= a.size(0) && !a.is_contiguous(); }

// float32 rows without gaps. PyTorch turns a transposed matrix in one thread.
Tensor dense_rows(const Tensor& a) {
  if (!is_turned(a)) return a.contiguous();
  const Tensor rows = at::empty(a.sizes(), a.options());
  const float* from = a.const_data_ptr<float>();
  float* to = rows.mutable_data_ptr<float>();
  at::parallel_for(0, a.size(0), 64, [&](int64_t begin, int64_t end) {
    transpose(a.size(1), from, a.stride(1), to, a.size(1), begin, end);
  });
  return rows;
}

// a b^T of many rows. oneDNN takes b in rows or in columns, a in rows only: of a and of b a^T the smaller is turned.
Tensor product_of_many_rows(const Tensor& a, const Tensor& b, const OptionalTensor& bias) {
  const int64_t result = a.size(0) * b.size(0), to_turn = is_turned(b) ? b.numel() + result : result;
  if (is_turned(a) && to_turn < a.numel() && b.size(0) >= MANY_ROWS && !bias) {
    return dense_rows(one_dnn_product(dense_rows(b), a, {}).t());
  }
  return one_dnn_product(dense_rows(a), b, bias);
}

}  // namespace

PreparedWeights::PreparedWeights(const Tensor& b, int64_t rows) : b_(one_dnn_weights(b, rows)) {}

Tensor PreparedWeights::product(const Tensor& a) const { return one_dnn_product(a, b_, {}); }

Tensor matrix_product(const Tensor& a, const Tensor& b, const OptionalTensor& bias) {
  const bool empty = a.numel() == 0 || b.numel() == 0;
  if (a.is_cpu() && a.scalar_type() == at::kFloat && a.size(0) >= MANY_ROWS && !empty) {
    return product_of_many_rows(a, b, bias);
  }
  return bias ? at::addmm(*bias, a, b.t()) : at::mm(a, b.t());
}

}  // namespace lrcn

TORCH_LIBRARY_FRAGMENT(lrcn, m) { m.def("matrix_product(Tensor a, Tensor b, Tensor? bias=None) -> Tensor"); }

TORCH_LIBRARY_IMPL(lrcn, CPU, m) { m.impl("matrix_product", lrcn::matrix_product); }
