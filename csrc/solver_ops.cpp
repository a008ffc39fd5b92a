// The exact arithmetic of the solvers on tensors: `torch.ops.lrcn.exact_*`, all in place and on float32 of the CPU.
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <cmath>

#include "exact/blas.h"
#include "exact/solver.h"

namespace lrcn {
namespace {

using at::Tensor;

// The values of a tensor that is written in place.
float* values(const Tensor& tensor, const char* name) {
  TORCH_CHECK(tensor.scalar_type() == at::kFloat, name, ": float32 expected, ", tensor.scalar_type(), " given");
  TORCH_CHECK(tensor.device().is_cpu(), name, ": a tensor on the CPU expected, ", tensor.device(), " given");
  TORCH_CHECK(tensor.is_contiguous(), name, ": a dense tensor expected, strides ", tensor.strides(), " given");
  return tensor.data_ptr<float>();
}

float* history_values(const Tensor& gradient, const Tensor& history) {
  TORCH_CHECK(history.sizes() == gradient.sizes(), "history: shape ", gradient.sizes(), " expected, ", history.sizes(),
              " given");
  return values(history, "history");
}

float* scratch_for(Tensor& memory, const Tensor& gradient) {
  memory = at::empty({gradient.numel()}, gradient.options());
  return memory.mutable_data_ptr<float>();
}

double exact_pow(double x, double y) { return std::pow(static_cast<float>(x), static_cast<float>(y)); }

double exact_exp(double x) { return std::exp(static_cast<float>(x)); }

Tensor exact_norm(const std::vector<Tensor>& tensors) {
  float sum_of_squares = 0.0f;
  for (const Tensor& tensor : tensors) {
    const float* x = values(tensor, "tensor");
    sum_of_squares += exact::dot(tensor.numel(), x, x);
  }
  Tensor norm = at::empty({}, at::kFloat);
  *norm.mutable_data_ptr<float>() = std::sqrt(sum_of_squares);
  return norm;
}

void exact_scale_(const Tensor& x, double alpha) { exact::scal(x.numel(), static_cast<float>(alpha), values(x, "x")); }

void exact_add_scaled_(const Tensor& y, const Tensor& x, double alpha) {
  TORCH_CHECK(x.sizes() == y.sizes(), "x: shape ", y.sizes(), " expected, ", x.sizes(), " given");
  exact::axpy(x.numel(), static_cast<float>(alpha), values(x, "x"), values(y, "y"));
}

void exact_sgd_(const Tensor& gradient, const Tensor& history, double rate, double momentum) {
  exact::sgd_update(gradient.numel(), static_cast<float>(rate), static_cast<float>(momentum),
                    values(gradient, "gradient"), history_values(gradient, history));
}

void exact_nesterov_(const Tensor& gradient, const Tensor& history, double rate, double momentum) {
  Tensor scratch;
  exact::nesterov_update(gradient.numel(), static_cast<float>(rate), static_cast<float>(momentum),
                         values(gradient, "gradient"), history_values(gradient, history),
                         scratch_for(scratch, gradient));
}

void exact_adagrad_(const Tensor& gradient, const Tensor& history, double rate, double delta) {
  Tensor scratch;
  exact::adagrad_update(gradient.numel(), static_cast<float>(rate), static_cast<float>(delta),
                        values(gradient, "gradient"), history_values(gradient, history),
                        scratch_for(scratch, gradient));
}

void exact_rmsprop_(const Tensor& gradient, const Tensor& history, double rate, double decay, double delta) {
  Tensor scratch;
  exact::rmsprop_update(gradient.numel(), static_cast<float>(rate), static_cast<float>(decay),
                        static_cast<float>(delta), values(gradient, "gradient"), history_values(gradient, history),
                        scratch_for(scratch, gradient));
}

void exact_adadelta_(const Tensor& gradient, const Tensor& gradient_history, const Tensor& update_history, double rate,
                     double momentum, double delta) {
  Tensor scratch;
  exact::adadelta_update(gradient.numel(), static_cast<float>(rate), static_cast<float>(momentum),
                         static_cast<float>(delta), values(gradient, "gradient"),
                         history_values(gradient, gradient_history), history_values(gradient, update_history),
                         scratch_for(scratch, gradient));
}

void exact_adam_(const Tensor& gradient, const Tensor& mean, const Tensor& square, double rate, double momentum,
                 double momentum2, double delta) {
  Tensor scratch;
  exact::adam_update(gradient.numel(), static_cast<float>(rate), static_cast<float>(momentum),
                     static_cast<float>(momentum2), static_cast<float>(delta), values(gradient, "gradient"),
                     history_values(gradient, mean), history_values(gradient, square), scratch_for(scratch, gradient));
}

}  // namespace
}  // namespace lrcn

TORCH_LIBRARY_FRAGMENT(lrcn, m) {
  m.def("exact_pow(float x, float y) -> float", lrcn::exact_pow);
  m.def("exact_exp(float x) -> float", lrcn::exact_exp);
  m.def("exact_norm(Tensor[] tensors) -> Tensor");
  m.def("exact_scale_(Tensor(a!) x, float alpha) -> ()");
  m.def("exact_add_scaled_(Tensor(a!) y, Tensor x, float alpha) -> ()");
  m.def("exact_sgd_(Tensor(a!) gradient, Tensor(b!) history, float rate, float momentum) -> ()");
  m.def("exact_nesterov_(Tensor(a!) gradient, Tensor(b!) history, float rate, float momentum) -> ()");
  m.def("exact_adagrad_(Tensor(a!) gradient, Tensor(b!) history, float rate, float delta) -> ()");
  m.def("exact_rmsprop_(Tensor(a!) gradient, Tensor(b!) history, float rate, float decay, float delta) -> ()");
  m.def(
      "exact_adadelta_(Tensor(a!) gradient, Tensor(b!) gradient_history, Tensor(c!) update_history, float rate,"
      " float momentum, float delta) -> ()");
  m.def(
      "exact_adam_(Tensor(a!) gradient, Tensor(b!) mean, Tensor(c!) square, float rate, float momentum,"
      " float momentum2, float delta) -> ()");
}

TORCH_LIBRARY_IMPL(lrcn, CPU, m) {
  m.impl("exact_norm", lrcn::exact_norm);
  m.impl("exact_scale_", lrcn::exact_scale_);
  m.impl("exact_add_scaled_", lrcn::exact_add_scaled_);
  m.impl("exact_sgd_", lrcn::exact_sgd_);
  m.impl("exact_nesterov_", lrcn::exact_nesterov_);
  m.impl("exact_adagrad_", lrcn::exact_adagrad_);
  m.impl("exact_rmsprop_", lrcn::exact_rmsprop_);
  m.impl("exact_adadelta_", lrcn::exact_adadelta_);
  m.impl("exact_adam_", lrcn::exact_adam_);
}
