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

// The gradients. Those of activations are results; those of parameters are added to the tensor named *_grad.
void exact_convolution_backward_weight(const Tensor& dy, const Tensor& x, Tensor weight_grad, IntArrayRef stride,
                                       IntArrayRef pad, IntArrayRef dilation, int64_t group);
void exact_convolution_backward_bias(const Tensor& dy, Tensor bias_grad);
Tensor exact_convolution_backward_input(const Tensor& dy, const Tensor& weight, IntArrayRef input_size,
                                        IntArrayRef stride, IntArrayRef pad, IntArrayRef dilation, int64_t group);
void exact_inner_product_backward_weight(const Tensor& dy, const Tensor& x, Tensor weight_grad, bool transposed_weight);
void exact_inner_product_backward_bias(const Tensor& dy, Tensor bias_grad);
Tensor exact_inner_product_backward_input(const Tensor& dy, const Tensor& weight, bool transposed_weight);
void exact_embed_backward_weight(const Tensor& dy, const Tensor& index, Tensor weight_grad);
Tensor exact_max_pool_backward(const Tensor& dy, const Tensor& index, IntArrayRef input_size);
Tensor exact_average_pool_backward(const Tensor& dy, IntArrayRef input_size, IntArrayRef kernel, IntArrayRef stride,
                                   IntArrayRef pad);
Tensor exact_lrn_across_channels_backward(const Tensor& dy, const Tensor& x, const Tensor& y, int64_t size,
                                          double alpha, double beta, double k);
Tensor exact_lrn_within_channel_backward(const Tensor& dy, const Tensor& x, int64_t size, double alpha, double beta);
Tensor exact_relu_backward(const Tensor& dy, const Tensor& y, double negative_slope);
Tensor exact_sigmoid_backward(const Tensor& dy, const Tensor& y);
Tensor exact_tanh_backward(const Tensor& dy, const Tensor& y);
Tensor exact_power_backward(const Tensor& dy, const Tensor& x, const Tensor& y, double power, double scale,
                            double shift);
Tensor exact_scaled(const Tensor& x, double factor);
Tensor exact_sum_rows_backward(const Tensor& dy, const Tensor& x, bool absolute, bool squared);
Tensor exact_scale_backward_input(const Tensor& dy, const Tensor& scale);
void exact_scale_backward_scale(const Tensor& dy, const Tensor& x, Tensor scale_grad, bool accumulate);
void exact_scale_backward_bias(const Tensor& dy, Tensor bias_grad);
Tensor exact_softmax_backward(const Tensor& dy, const Tensor& y, int64_t axis);
Tensor exact_negative_log_likelihood_backward(const Tensor& dloss, const Tensor& prob, const Tensor& label,
                                              int64_t axis, std::optional<int64_t> ignore_label);
Tensor exact_lstm_backward(const Tensor& dh, const Tensor& cont, const Tensor& w_h, const Tensor& h_0,
                           const Tensor& c_0, const Tensor& h, const Tensor& c, const Tensor& gates, Tensor w_h_grad);
Tensor exact_rnn_backward(const Tensor& d_o, const Tensor& cont, const Tensor& w_h, const Tensor& w_o,
                          const Tensor& h_0, const Tensor& o, const Tensor& h, Tensor w_h_grad, Tensor w_o_grad,
                          Tensor b_o_grad);

}  // namespace lrcn
