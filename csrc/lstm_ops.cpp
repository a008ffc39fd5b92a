#include "lstm_ops.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include <mutex>

#include "lstm/lstm.h"
#include "matrix_product.h"

namespace lrcn {
namespace {

at::ScalarType sum_type(const Tensor& stored) { return stored.scalar_type() == at::kDouble ? at::kDouble : at::kFloat; }

OptionalTensor dense(const OptionalTensor& tensor) {
  return tensor ? OptionalTensor(tensor->contiguous()) : std::nullopt;
}

OptionalTensor to(const OptionalTensor& tensor, at::ScalarType dtype) {
  return tensor ? OptionalTensor(tensor->to(dtype)) : std::nullopt;
}

void check(const Tensor& tensor, const char* name, at::IntArrayRef shape, at::ScalarType dtype, at::Device device) {
  TORCH_CHECK(tensor.sizes() == shape, name, ": shape ", shape, " expected, ", tensor.sizes(), " given");
  TORCH_CHECK(tensor.scalar_type() == dtype, name, ": dtype ", dtype, " expected, ", tensor.scalar_type(), " given");
  TORCH_CHECK(tensor.device() == device, name, ": device ", device, " expected, ", tensor.device(), " given");
}

// While it lives: the product of float32 matrices is rounded as asked, whatever torch is set to, and nothing is cast
// behind our back. On CUDA torch's setting belongs to the process: who needs another one changes it for the time in
// which the work is handed to the GPU, one thread at a time.
class Products {
public:
  Products(bool tf32, bool on_cuda) : autocast_(c10::autocast_dispatch_keyset) {
    if (!on_cuda) return;
    static std::mutex mutex;
    lock_ = std::unique_lock(mutex);
    if (!tf32) ieee_.emplace();
    // cuBLASLt, where products with a bias go, heeds the setting but not the guard.
    const auto set_by_user = at::globalContext().float32Precision(at::Float32Backend::CUDA, at::Float32Op::MATMUL);
    if (tf32 != (set_by_user == at::Float32Precision::TF32)) {
      before_ = set_by_user;
      set(tf32 ? at::Float32Precision::TF32 : at::Float32Precision::IEEE);
    }
  }
  ~Products() {
    if (before_) set(*before_);
  }

private:
  static void set(at::Float32Precision precision) {
    at::globalContext().setFloat32Precision(at::Float32Backend::CUDA, at::Float32Op::MATMUL, precision);
  }
  std::unique_lock<std::mutex> lock_;
  c10::impl::ExcludeDispatchKeyGuard autocast_;
  std::optional<at::NoTF32Guard> ieee_;
  std::optional<at::Float32Precision> before_;
};

// a b^T, plus bias if given, with its sums in the dtype `sums`, which is that of a and b or wider.
Tensor product(const Tensor& a, const Tensor& b, at::ScalarType sums, const OptionalTensor& bias = {}) {
  if (a.is_cuda() && a.scalar_type() != sums) {
    const Tensor y = at::mm(a, b.t(), sums);
    return bias ? y.add_(*bias) : y;
  }
  return matrix_product(a.to(sums), b.to(sums), to(bias, sums));
}

// The hidden state as step t sees it, for steps first..T-1: cont_t h_{t-1}, (T - first, N, H). Step 0 needs h_0.
Tensor continued(const Tensor& cont, const OptionalTensor& h_0, const Tensor& h) {
  const Tensor later = h.narrow(0, 0, h.size(0) - 1);
  const Tensor before = h_0 ? at::cat({h_0->unsqueeze(0), later}) : later;
  return (before * cont.narrow(0, h_0 ? 0 : 1, before.size(0)).unsqueeze(2)).to(h.scalar_type());
}

Tensor first_step_continued(const Tensor& cont, const Tensor& h_0) {
  return (h_0 * cont[0].unsqueeze(1)).to(h_0.scalar_type());
}

Tensor rows(const Tensor& steps) { return steps.flatten(0, 1); }

}  // namespace

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> lstm_forward(const Tensor& x, const Tensor& cont, const Tensor& w_x,
                                                                const Tensor& b, const Tensor& w_h,
                                                                const OptionalTensor& x_static,
                                                                const OptionalTensor& w_static,
                                                                const OptionalTensor& h_0, const Tensor& c_0, bool tf32,
                                                                bool caffe_gradient, bool keep_gates) {
  TORCH_CHECK(x.dim() == 3, "x: shape (T, N, I) expected, ", x.sizes(), " given");
  TORCH_CHECK(w_h.dim() == 2, "w_h: shape (4H, H) expected, ", w_h.sizes(), " given");
  TORCH_CHECK(x_static.has_value() == w_static.has_value(), "x_static and w_static: both or neither expected");
  const int64_t T = x.size(0), N = x.size(1), H = w_h.size(1);
  const at::ScalarType stored = x.scalar_type(), sums = sum_type(x);
  const at::Device device = x.device();
  check(cont, "cont", {T, N}, sums, device);
  check(w_x, "w_x", {4 * H, x.size(2)}, stored, device);
  check(b, "b", {4 * H}, stored, device);
  check(w_h, "w_h", {4 * H, H}, stored, device);
  if (x_static) {
    TORCH_CHECK(x_static->dim() == 2, "x_static: shape (N, S) expected, ", x_static->sizes(), " given");
    check(*x_static, "x_static", {N, x_static->size(1)}, stored, device);
    check(*w_static, "w_static", {4 * H, x_static->size(1)}, stored, device);
  }
  if (h_0) check(*h_0, "h_0", {N, H}, stored, device);
  check(c_0, "c_0", {N, H}, sums, device);

  if (T == 0 || N == 0 || H == 0) {
    const Tensor h = at::empty({T, N, H}, x.options()), c = at::empty({T, N, H}, c_0.options());
    return {h, h_0 ? h_0->clone() : at::zeros({N, H}, x.options()), c_0.clone(), c,
            at::empty({keep_gates ? T : 0, N, 4 * H}, c_0.options())};
  }

  const Products products(tf32, x.is_cuda());
  // Of all steps, what does not come from the step before.
  const Tensor terms = product(rows(x), w_x, sums, x_static ? std::nullopt : OptionalTensor(b)).view({T, N, 4 * H});
  if (x_static) terms.add_(product(*x_static, *w_static, sums, b));
  if (h_0) terms[0].add_(product(first_step_continued(cont, *h_0), w_h, sums));

  static const auto recurrence = c10::Dispatcher::singleton()
                                     .findSchemaOrThrow("lrcn::lstm_recurrence", "")
                                     .typed<decltype(lstm_recurrence_cpu)>();
  const auto [h, c] = recurrence.call(terms, cont.contiguous(), w_h.contiguous(), c_0.contiguous(), tf32, keep_gates);
  return {h, h[T - 1].clone(), c[T - 1].clone(), c, keep_gates ? terms : at::empty({0, N, 4 * H}, terms.options())};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> lstm_backward(
    const OptionalTensor& dh, const OptionalTensor& dh_T, const OptionalTensor& dc_T, const Tensor& x,
    const Tensor& cont, const Tensor& w_x, const Tensor& w_h, const OptionalTensor& x_static,
    const OptionalTensor& w_static, const OptionalTensor& h_0, const Tensor& c_0, const Tensor& h, const Tensor& c,
    const Tensor& gates, bool tf32, bool caffe_gradient, std::array<bool, 8> wanted) {
  const auto [want_x, want_w_x, want_b, want_w_h, want_x_static, want_w_static, want_h_0, want_c_0] = wanted;
  const int64_t T = x.size(0), N = x.size(1), H = w_h.size(1);
  const at::ScalarType stored = x.scalar_type(), sums = sum_type(x);
  check(gates, "gates", {T, N, 4 * H}, sums, x.device());
  check(c, "c", {T, N, H}, sums, x.device());
  check(h, "h", {T, N, H}, stored, x.device());
  check(c_0, "c_0", {N, H}, sums, x.device());
  check(cont, "cont", {T, N}, sums, x.device());
  check(w_h, "w_h", {4 * H, H}, stored, x.device());
  if (dh) check(*dh, "dh", {T, N, H}, stored, x.device());
  if (dh_T) check(*dh_T, "dh_T", {N, H}, stored, x.device());
  if (dc_T) check(*dc_T, "dc_T", {N, H}, sums, x.device());

  const Products products(tf32, x.is_cuda());
  Tensor d_terms, dc_0;
  if (T == 0 || N == 0 || H == 0) {
    d_terms = at::zeros_like(gates);
    dc_0 = dc_T ? dc_T->clone() : at::zeros_like(c_0);
  } else {
    static const auto recurrence = c10::Dispatcher::singleton()
                                       .findSchemaOrThrow("lrcn::lstm_recurrence_backward", "")
                                       .typed<decltype(lstm_recurrence_backward_cpu)>();
    std::tie(d_terms, dc_0) =
        recurrence.call(dense(dh), dense(dh_T), dense(dc_T), cont.contiguous(), w_h.contiguous(), c_0.contiguous(),
                        c.contiguous(), gates.contiguous(), tf32, caffe_gradient);
  }

  const auto unwanted = [&] { return at::empty({0}, x.options()); };
  const Tensor d = d_terms.to(stored);
  Tensor dx = unwanted(), dw_x = unwanted(), db = unwanted(), dw_h = unwanted(), dx_static = unwanted(),
         dw_static = unwanted(), dh_0 = unwanted();
  if (want_x) dx = matrix_product(rows(d), w_x.t()).view(x.sizes());
  if (want_w_x) dw_x = matrix_product(rows(d).t(), rows(x).t());
  if (want_b) db = rows(d_terms).sum(0).to(stored);
  if (want_w_h && T > 0) {
    const Tensor before = continued(cont, h_0, h);
    dw_h = matrix_product(rows(d.narrow(0, T - before.size(0), before.size(0))).t(), rows(before).t());
  } else if (want_w_h) {
    dw_h = at::zeros_like(w_h);
  }
  if (want_x_static || want_w_static) {
    const Tensor d_static = d_terms.sum(0).to(stored);
    if (want_x_static) dx_static = matrix_product(d_static, w_static->t());
    if (want_w_static) dw_static = matrix_product(d_static.t(), x_static->t());
  }
  if (want_h_0 && T > 0) {
    dh_0 = (matrix_product(d[0], w_h.t()) * cont[0].unsqueeze(1)).to(stored);
  } else if (want_h_0) {
    dh_0 = dh_T ? dh_T->clone() : at::zeros({N, H}, x.options());
  }
  return {dx, dw_x, db, dw_h, dx_static, dw_static, dh_0, want_c_0 ? dc_0 : unwanted()};
}

namespace {

template <class A>
const A* data(const OptionalTensor& tensor) {
  return tensor ? tensor->const_data_ptr<A>() : nullptr;
}

// A single step needs no w_h: the terms of the first have its product.
template <class A>
std::tuple<Tensor, Tensor> recurrence(const Tensor& terms, const Tensor& cont, const OptionalTensor& w_h,
                                      const Tensor& c_0, bool keep_gates) {
  const int64_t T = cont.size(0), N = cont.size(1), H = c_0.size(1);
  const Tensor h = at::empty({T, N, H}, c_0.options()), c = at::empty_like(h);
  const Tensor workspace = at::empty({lstm::forward_workspace_cpu<A>(N, H)}, c_0.options());
  lstm::forward_cpu<A>({T, N, H, terms.data_ptr<A>(), cont.const_data_ptr<A>(), data<A>(w_h), c_0.const_data_ptr<A>(),
                        h.data_ptr<A>(), c.data_ptr<A>(), keep_gates},
                       workspace.data_ptr<A>());
  return {h, c};
}

template <class A>
std::tuple<Tensor, Tensor> recurrence_backward(const OptionalTensor& dh, const OptionalTensor& dh_T,
                                               const OptionalTensor& dc_T, const Tensor& cont, const Tensor& w_h,
                                               const Tensor& c_0, const Tensor& c, const Tensor& gates,
                                               bool caffe_gradient) {
  const int64_t T = cont.size(0), N = cont.size(1), H = w_h.size(1);
  const Tensor d_terms = at::empty_like(gates), dc_0 = at::empty_like(c_0);
  const Tensor workspace = at::empty({lstm::backward_workspace_cpu<A>(N, H)}, c_0.options());
  lstm::backward_cpu<A>({T, N, H, cont.const_data_ptr<A>(), w_h.const_data_ptr<A>(), c_0.const_data_ptr<A>(),
                         c.const_data_ptr<A>(), gates.const_data_ptr<A>(), data<A>(dh), data<A>(dh_T), data<A>(dc_T),
                         caffe_gradient, d_terms.data_ptr<A>(), dc_0.data_ptr<A>()},
                        workspace.data_ptr<A>());
  return {d_terms, dc_0};
}

}  // namespace

// The kernel computes in the dtype of the sums; 16-bit weights and h are converted on the way in and out.
std::tuple<Tensor, Tensor> lstm_recurrence_cpu(const Tensor& terms, const Tensor& cont, const Tensor& w_h,
                                               const Tensor& c_0, bool tf32, bool keep_gates) {
  if (w_h.scalar_type() == at::kDouble) return recurrence<double>(terms, cont, w_h, c_0, keep_gates);
  const OptionalTensor weights = cont.size(0) > 1 ? OptionalTensor(w_h.to(at::kFloat)) : std::nullopt;
  const auto [h, c] = recurrence<float>(terms, cont, weights, c_0, keep_gates);
  return {h.to(w_h.scalar_type()), c};
}

std::tuple<Tensor, Tensor> lstm_recurrence_backward_cpu(const OptionalTensor& dh, const OptionalTensor& dh_T,
                                                        const OptionalTensor& dc_T, const Tensor& cont,
                                                        const Tensor& w_h, const Tensor& c_0, const Tensor& c,
                                                        const Tensor& gates, bool tf32, bool caffe_gradient) {
  if (w_h.scalar_type() == at::kDouble) {
    return recurrence_backward<double>(dh, dh_T, dc_T, cont, w_h, c_0, c, gates, caffe_gradient);
  }
  return recurrence_backward<float>(to(dh, at::kFloat), to(dh_T, at::kFloat), dc_T, cont, w_h.to(at::kFloat), c_0, c,
                                    gates, caffe_gradient);
}

}  // namespace lrcn
