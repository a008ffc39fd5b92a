// The fused LSTM on tensors. x, weights, biases and h have one dtype S (float, double, half, bfloat16), cont, c, gates
// and the terms of a step the dtype A that sums are kept in (double for double, else float); shapes as in lstm/lstm.h
// and lrcn/ops/lstm.py.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <optional>
#include <tuple>

namespace lrcn {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

// On any device that has the two recurrences: the products of the whole sequence through ATen, and the recurrence.
// `gates` is empty unless they are to be kept for the way back. h_T and c_T are copies of the last step.
std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> lstm_forward(const Tensor& x, const Tensor& cont, const Tensor& w_x,
                                                                const Tensor& b, const Tensor& w_h,
                                                                const OptionalTensor& x_static,
                                                                const OptionalTensor& w_static,
                                                                const OptionalTensor& h_0, const Tensor& c_0, bool tf32,
                                                                bool caffe_gradient, bool keep_gates);

// Gradients of x, w_x, b, w_h, x_static, w_static, h_0 and c_0; an empty tensor for one that is not wanted.
std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> lstm_backward(
    const OptionalTensor& dh, const OptionalTensor& dh_T, const OptionalTensor& dc_T, const Tensor& x,
    const Tensor& cont, const Tensor& w_x, const Tensor& w_h, const OptionalTensor& x_static,
    const OptionalTensor& w_static, const OptionalTensor& h_0, const Tensor& c_0, const Tensor& h, const Tensor& c,
    const Tensor& gates, bool tf32, bool caffe_gradient, std::array<bool, 8> wanted);

// The recurrence, one function per device. All tensors dense, on one device, of the right shapes and dtypes, none of
// them empty; `tf32` allows float32 products to be rounded to TF32. With `keep_gates` the terms become the gates.
std::tuple<Tensor, Tensor> lstm_recurrence_cpu(const Tensor& terms, const Tensor& cont, const Tensor& w_h,
                                               const Tensor& c_0, bool tf32, bool keep_gates);
std::tuple<Tensor, Tensor> lstm_recurrence_backward_cpu(const OptionalTensor& dh, const OptionalTensor& dh_T,
                                                        const OptionalTensor& dc_T, const Tensor& cont,
                                                        const Tensor& w_h, const Tensor& c_0, const Tensor& c,
                                                        const Tensor& gates, bool tf32, bool caffe_gradient);

}  // namespace lrcn
