// The exact kernels on tensors: check the arguments, allocate the results, share the images and rows out among threads.
// All tensors are float32 on the CPU. What each op computes stands beside its kernel in csrc/exact; the shapes stand
// with the Python face in lrcn/ops/exact.py.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <tuple>
#include <vector>

namespace lrcn {

using at::IntArrayRef;
using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

Tensor exact_convolution(const Tensor& x, const Tensor& weight, const OptionalTensor& bias, IntArrayRef stride,
                         IntArrayRef pad, IntArrayRef dilation, int64_t group);
Tensor exact_inner_product(const Tensor& x, const Tensor& weight, const OptionalTensor& bias, bool transposed_weight);
std::tuple<Tensor, Tensor> exact_max_pool(const Tensor& x, IntArrayRef kernel, IntArrayRef stride, IntArrayRef pad,
                                          IntArrayRef output_size);
Tensor exact_average_pool(const Tensor& x, IntArrayRef kernel, IntArrayRef stride, IntArrayRef pad,
                          IntArrayRef output_size);
Tensor exact_lrn_across_channels(const Tensor& x, int64_t size, double alpha, double beta, double k);
Tensor exact_lrn_within_channel(const Tensor& x, int64_t size, double alpha, double beta);
Tensor exact_relu(const Tensor& x, double negative_slope);
Tensor exact_sigmoid(const Tensor& x);
Tensor exact_tanh(const Tensor& x);
Tensor exact_power(const Tensor& x, double power, double scale, double shift);
Tensor exact_weighted_sum(const std::vector<Tensor>& terms, at::ArrayRef<double> coefficients);
Tensor exact_sum_rows(const Tensor& x, bool absolute, bool squared);
Tensor exact_softmax(const Tensor& x, int64_t axis);
std::tuple<Tensor, Tensor> exact_negative_log_likelihood(const Tensor& prob, const Tensor& label, int64_t axis,
                                                         std::optional<int64_t> ignore_label);
std::tuple<Tensor, Tensor, Tensor> exact_lstm(const Tensor& x, const Tensor& cont, const Tensor& w_x, const Tensor& b,
                                              const Tensor& w_h, const OptionalTensor& x_static,
                                              const OptionalTensor& w_static, const Tensor& h_0, const Tensor& c_0);
std::tuple<Tensor, Tensor> exact_rnn(const Tensor& x, const Tensor& cont, const Tensor& w_x, const Tensor& b,
                                     const Tensor& w_h, const Tensor& w_o, const Tensor& b_o,
                                     const OptionalTensor& x_static, const OptionalTensor& w_static, const Tensor& h_0);

}  // namespace lrcn
