// The recurrence of the fused LSTM on CUDA tensors; compiled only where torch and the compiler know CUDA.
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/mm.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <torch/library.h>

#include "lstm/lstm_cuda.h"
#include "lstm_ops.h"

namespace lrcn {
namespace {

int64_t attribute(cudaDeviceAttr name, int device) {
  int value;
  C10_CUDA_CHECK(cudaDeviceGetAttribute(&value, name, device));
  return value;
}

lstm::Plan plan_of(lstm::Pass pass, lstm::Product product, const Tensor& cont, const Tensor& w_h) {
  const int device = w_h.get_device();
  // Without cooperative launches no two blocks may wait for each other.
  const bool together = attribute(cudaDevAttrCooperativeLaunch, device) != 0;
  return lstm::plan_of(pass, product, cont.size(0), cont.size(1), w_h.size(1),
                       {attribute(cudaDevAttrMultiProcessorCount, device),
                        together ? attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, device) : 0});
}

// TF32 holds every half and bfloat16 number.
lstm::Product product_of(const Tensor& w_h, bool tf32) {
  if (w_h.scalar_type() == at::kDouble) return lstm::Product::fma64;
  return w_h.scalar_type() == at::kFloat && !tf32 ? lstm::Product::fma32 : lstm::Product::tf32;
}

// y = a b, with sums of y's type.
void multiply(const Tensor& a, const Tensor& b, Tensor& y) {
  if (a.scalar_type() == y.scalar_type()) {
    at::mm_out(y, a, b);
  } else {
    at::mm_out(y, a, b, y.scalar_type());
  }
}

template <class Type>
const Type* input(const Tensor& tensor) {
  return static_cast<const Type*>(tensor.const_data_ptr());
}

template <class Type>
const Type* input(const OptionalTensor& tensor) {
  return tensor ? input<Type>(*tensor) : nullptr;
}

template <class Type>
Type* output(const Tensor& tensor) {
  return static_cast<Type*>(tensor.mutable_data_ptr());
}

template <class S, class A>
std::tuple<Tensor, Tensor> recurrence(const Tensor& terms, const Tensor& cont, const Tensor& w_h, const Tensor& c_0,
                                      bool tf32, bool keep_gates) {
  const int64_t T = cont.size(0), N = cont.size(1), H = w_h.size(1);
  const cudaStream_t stream = c10::cuda::getCurrentCUDAStream();
  const Tensor h = at::empty({T, N, H}, w_h.options()), c = at::empty({T, N, H}, c_0.options());
  const lstm::Forward<S, A> sequence{
      T, N, H, output<A>(terms), input<A>(cont), input<S>(w_h), input<A>(c_0), output<S>(h), output<A>(c), keep_gates};
  const lstm::Product product = product_of(w_h, tf32);
  const lstm::Plan plan = plan_of(lstm::Pass::forward, product, cont, w_h);
  if (plan.persistent) {
    const Tensor workspace = at::empty({plan.workspace}, w_h.options().dtype(at::kByte));
    C10_CUDA_CHECK(lstm::forward_persistent(sequence, plan, product, output<void>(workspace), stream));
    return {h, c};
  }
  const bool one_step = T == 1;
  const Tensor continued = at::empty({one_step ? 0 : N, H}, w_h.options());
  Tensor recurrent = at::empty({one_step ? 0 : N, 4 * H}, c_0.options());
  for (int64_t t = 0; t < T; ++t) {
    if (t > 0) multiply(continued, w_h.t(), recurrent);
    C10_CUDA_CHECK(lstm::forward_cell(sequence, t, t > 0 ? input<A>(recurrent) : nullptr,
                                      t + 1 < T ? output<S>(continued) : nullptr, stream));
  }
  return {h, c};
}

template <class S, class A>
std::tuple<Tensor, Tensor> recurrence_backward(const OptionalTensor& dh, const OptionalTensor& dh_T,
                                               const OptionalTensor& dc_T, const Tensor& cont, const Tensor& w_h,
                                               const Tensor& c_0, const Tensor& c, const Tensor& gates, bool tf32,
                                               bool caffe_gradient) {
  const int64_t T = cont.size(0), N = cont.size(1), H = w_h.size(1);
  const cudaStream_t stream = c10::cuda::getCurrentCUDAStream();
  const Tensor d_terms = at::empty_like(gates), dc_0 = at::empty_like(c_0);
  const lstm::Backward<S, A> sequence{T,
                                      N,
                                      H,
                                      input<A>(cont),
                                      input<S>(w_h),
                                      input<A>(c_0),
                                      input<A>(c),
                                      input<A>(gates),
                                      input<S>(dh),
                                      input<S>(dh_T),
                                      input<A>(dc_T),
                                      caffe_gradient,
                                      output<A>(d_terms),
                                      output<A>(dc_0)};
  const lstm::Product product = product_of(w_h, tf32);
  const lstm::Plan plan = plan_of(lstm::Pass::backward, product, cont, w_h);
  if (plan.persistent) {
    const Tensor workspace = at::empty({plan.workspace}, w_h.options().dtype(at::kByte));
    C10_CUDA_CHECK(lstm::backward_persistent(sequence, plan, product, output<void>(workspace), stream));
    return {d_terms, dc_0};
  }
  const bool one_step = T == 1, same_type = w_h.scalar_type() == gates.scalar_type();
  const Tensor copy = at::empty({one_step || same_type ? 0 : N, 4 * H}, w_h.options());
  Tensor recurrent = at::empty({one_step ? 0 : N, H}, c_0.options());
  for (int64_t step = 0; step < T; ++step) {
    if (step > 0) multiply(same_type ? d_terms[T - step] : copy, w_h, recurrent);
    C10_CUDA_CHECK(lstm::backward_cell(sequence, step, step > 0 ? input<A>(recurrent) : nullptr,
                                       step + 1 < T && !same_type ? output<S>(copy) : nullptr, stream));
  }
  return {d_terms, dc_0};
}

std::tuple<Tensor, Tensor> lstm_recurrence_cuda(const Tensor& terms, const Tensor& cont, const Tensor& w_h,
                                                const Tensor& c_0, bool tf32, bool keep_gates) {
  const c10::cuda::CUDAGuard guard(w_h.device());
  switch (w_h.scalar_type()) {
    case at::kDouble:
      return recurrence<double, double>(terms, cont, w_h, c_0, tf32, keep_gates);
    case at::kHalf:
      return recurrence<__half, float>(terms, cont, w_h, c_0, tf32, keep_gates);
    case at::kBFloat16:
      return recurrence<__nv_bfloat16, float>(terms, cont, w_h, c_0, tf32, keep_gates);
    default:
      return recurrence<float, float>(terms, cont, w_h, c_0, tf32, keep_gates);
  }
}

std::tuple<Tensor, Tensor> lstm_recurrence_backward_cuda(const OptionalTensor& dh, const OptionalTensor& dh_T,
                                                         const OptionalTensor& dc_T, const Tensor& cont,
                                                         const Tensor& w_h, const Tensor& c_0, const Tensor& c,
                                                         const Tensor& gates, bool tf32, bool caffe_gradient) {
  const c10::cuda::CUDAGuard guard(w_h.device());
  const auto run = [&](auto function) {
    return function(dh, dh_T, dc_T, cont, w_h, c_0, c, gates, tf32, caffe_gradient);
  };
  switch (w_h.scalar_type()) {
    case at::kDouble:
      return run(recurrence_backward<double, double>);
    case at::kHalf:
      return run(recurrence_backward<__half, float>);
    case at::kBFloat16:
      return run(recurrence_backward<__nv_bfloat16, float>);
    default:
      return run(recurrence_backward<float, float>);
  }
}

}  // namespace

TORCH_LIBRARY_IMPL(lrcn, CUDA, m) {
  m.impl("lstm_recurrence", lstm_recurrence_cuda);
  m.impl("lstm_recurrence_backward", lstm_recurrence_backward_cuda);
}

}  // namespace lrcn
