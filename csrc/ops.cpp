// Schemas and registration of the ops `torch.ops.lrcn.*`, and the few functions that are not about tensors.
#include <torch/extension.h>
#include <torch/library.h>

#include "exact/blas.h"
#include "exact_ops.h"
#include "lstm_ops.h"

TORCH_LIBRARY(lrcn, m) {
  m.def(
      "exact_convolution(Tensor x, Tensor weight, Tensor? bias, int[2] stride, int[2] pad, int[2] dilation, int group)"
      " -> Tensor");
  m.def("exact_inner_product(Tensor x, Tensor weight, Tensor? bias, bool transposed_weight) -> Tensor");
  m.def(
      "exact_max_pool(Tensor x, int[2] kernel, int[2] stride, int[2] pad, int[2] output_size)"
      " -> (Tensor y, Tensor index)");
  m.def("exact_average_pool(Tensor x, int[2] kernel, int[2] stride, int[2] pad, int[2] output_size) -> Tensor");
  m.def("exact_lrn_across_channels(Tensor x, int size, float alpha, float beta, float k) -> Tensor");
  m.def("exact_lrn_within_channel(Tensor x, int size, float alpha, float beta) -> Tensor");
  m.def("exact_relu(Tensor x, float negative_slope) -> Tensor");
  m.def("exact_sigmoid(Tensor x) -> Tensor");
  m.def("exact_tanh(Tensor x) -> Tensor");
  m.def("exact_power(Tensor x, float power, float scale, float shift) -> Tensor");
  m.def("exact_weighted_sum(Tensor[] terms, float[] coefficients) -> Tensor");
  m.def("exact_sum_rows(Tensor x, bool absolute, bool squared) -> Tensor");
  m.def("exact_softmax(Tensor x, int axis) -> Tensor");
  m.def(
      "exact_negative_log_likelihood(Tensor prob, Tensor label, int axis, int? ignore_label)"
      " -> (Tensor loss, Tensor count)");
  m.def(
      "exact_lstm(Tensor x, Tensor cont, Tensor w_x, Tensor b, Tensor w_h, Tensor? x_static, Tensor? w_static,"
      " Tensor h_0, Tensor c_0) -> (Tensor h, Tensor c, Tensor gates)");
  m.def(
      "exact_rnn(Tensor x, Tensor cont, Tensor w_x, Tensor b, Tensor w_h, Tensor w_o, Tensor b_o, Tensor? x_static,"
      " Tensor? w_static, Tensor h_0) -> (Tensor o, Tensor h)");

  m.def(
      "exact_convolution_backward_weight(Tensor dy, Tensor x, Tensor(a!) weight_grad, int[2] stride, int[2] pad,"
      " int[2] dilation, int group) -> ()");
  m.def("exact_convolution_backward_bias(Tensor dy, Tensor(a!) bias_grad) -> ()");
  m.def(
      "exact_convolution_backward_input(Tensor dy, Tensor weight, int[4] input_size, int[2] stride, int[2] pad,"
      " int[2] dilation, int group) -> Tensor");
  m.def(
      "exact_inner_product_backward_weight(Tensor dy, Tensor x, Tensor(a!) weight_grad, bool transposed_weight)"
      " -> ()");
  m.def("exact_inner_product_backward_bias(Tensor dy, Tensor(a!) bias_grad) -> ()");
  m.def("exact_inner_product_backward_input(Tensor dy, Tensor weight, bool transposed_weight) -> Tensor");
  m.def("exact_embed_backward_weight(Tensor dy, Tensor index, Tensor(a!) weight_grad) -> ()");
  m.def("exact_max_pool_backward(Tensor dy, Tensor index, int[4] input_size) -> Tensor");
  m.def(
      "exact_average_pool_backward(Tensor dy, int[4] input_size, int[2] kernel, int[2] stride, int[2] pad) -> Tensor");
  m.def(
      "exact_lrn_across_channels_backward(Tensor dy, Tensor x, Tensor y, int size, float alpha, float beta, float k)"
      " -> Tensor");
  m.def("exact_lrn_within_channel_backward(Tensor dy, Tensor x, int size, float alpha, float beta) -> Tensor");
  m.def("exact_relu_backward(Tensor dy, Tensor y, float negative_slope) -> Tensor");
  m.def("exact_sigmoid_backward(Tensor dy, Tensor y) -> Tensor");
  m.def("exact_tanh_backward(Tensor dy, Tensor y) -> Tensor");
  m.def("exact_power_backward(Tensor dy, Tensor x, Tensor y, float power, float scale, float shift) -> Tensor");
  m.def("exact_scaled(Tensor x, float factor) -> Tensor");
  m.def("exact_sum_rows_backward(Tensor dy, Tensor x, bool absolute, bool squared) -> Tensor");
  m.def("exact_scale_backward_input(Tensor dy, Tensor scale) -> Tensor");
  m.def("exact_scale_backward_scale(Tensor dy, Tensor x, Tensor(a!) scale_grad, bool accumulate) -> ()");
  m.def("exact_scale_backward_bias(Tensor dy, Tensor(a!) bias_grad) -> ()");
  m.def("exact_softmax_backward(Tensor dy, Tensor y, int axis) -> Tensor");
  m.def(
      "exact_negative_log_likelihood_backward(Tensor dloss, Tensor prob, Tensor label, int axis, int? ignore_label)"
      " -> Tensor");
  m.def(
      "exact_lstm_backward(Tensor dh, Tensor cont, Tensor w_h, Tensor h_0, Tensor c_0, Tensor h, Tensor c,"
      " Tensor gates, Tensor(a!) w_h_grad) -> Tensor");
  m.def(
      "exact_rnn_backward(Tensor d_o, Tensor cont, Tensor w_h, Tensor w_o, Tensor h_0, Tensor o, Tensor h,"
      " Tensor(a!) w_h_grad, Tensor(b!) w_o_grad, Tensor(c!) b_o_grad) -> Tensor");

  // The fused LSTM: the same function on every device, which leaves the recurrence to the device.
  m.def(
      "lstm(Tensor x, Tensor cont, Tensor w_x, Tensor b, Tensor w_h, Tensor? x_static, Tensor? w_static, Tensor? h_0,"
      " Tensor c_0, bool tf32, bool caffe_gradient, bool keep_gates)"
      " -> (Tensor h, Tensor h_T, Tensor c_T, Tensor c, Tensor gates)");
  m.def(
      "lstm_backward(Tensor? dh, Tensor? dh_T, Tensor? dc_T, Tensor x, Tensor cont, Tensor w_x, Tensor w_h,"
      " Tensor? x_static, Tensor? w_static, Tensor? h_0, Tensor c_0, Tensor h, Tensor c, Tensor gates, bool tf32,"
      " bool caffe_gradient, bool[8] wanted)"
      " -> (Tensor dx, Tensor dw_x, Tensor db, Tensor dw_h, Tensor dx_static, Tensor dw_static, Tensor dh_0,"
      " Tensor dc_0)");
  m.def(
      "lstm_recurrence(Tensor(a!) terms, Tensor cont, Tensor w_h, Tensor c_0, bool tf32, bool keep_gates)"
      " -> (Tensor h, Tensor c)");
  m.def(
      "lstm_recurrence_backward(Tensor? dh, Tensor? dh_T, Tensor? dc_T, Tensor cont, Tensor w_h, Tensor c_0, Tensor c,"
      " Tensor gates, bool tf32, bool caffe_gradient) -> (Tensor d_terms, Tensor dc_0)");
}

TORCH_LIBRARY_IMPL(lrcn, CPU, m) {
  m.impl("exact_convolution", lrcn::exact_convolution);
  m.impl("exact_inner_product", lrcn::exact_inner_product);
  m.impl("exact_max_pool", lrcn::exact_max_pool);
  m.impl("exact_average_pool", lrcn::exact_average_pool);
  m.impl("exact_lrn_across_channels", lrcn::exact_lrn_across_channels);
  m.impl("exact_lrn_within_channel", lrcn::exact_lrn_within_channel);
  m.impl("exact_relu", lrcn::exact_relu);
  m.impl("exact_sigmoid", lrcn::exact_sigmoid);
  m.impl("exact_tanh", lrcn::exact_tanh);
  m.impl("exact_power", lrcn::exact_power);
  m.impl("exact_weighted_sum", lrcn::exact_weighted_sum);
  m.impl("exact_sum_rows", lrcn::exact_sum_rows);
  m.impl("exact_softmax", lrcn::exact_softmax);
  m.impl("exact_negative_log_likelihood", lrcn::exact_negative_log_likelihood);
  m.impl("exact_lstm", lrcn::exact_lstm);
  m.impl("exact_rnn", lrcn::exact_rnn);
  m.impl("exact_convolution_backward_weight", lrcn::exact_convolution_backward_weight);
  m.impl("exact_convolution_backward_bias", lrcn::exact_convolution_backward_bias);
  m.impl("exact_convolution_backward_input", lrcn::exact_convolution_backward_input);
  m.impl("exact_inner_product_backward_weight", lrcn::exact_inner_product_backward_weight);
  m.impl("exact_inner_product_backward_bias", lrcn::exact_inner_product_backward_bias);
  m.impl("exact_inner_product_backward_input", lrcn::exact_inner_product_backward_input);
  m.impl("exact_embed_backward_weight", lrcn::exact_embed_backward_weight);
  m.impl("exact_max_pool_backward", lrcn::exact_max_pool_backward);
  m.impl("exact_average_pool_backward", lrcn::exact_average_pool_backward);
  m.impl("exact_lrn_across_channels_backward", lrcn::exact_lrn_across_channels_backward);
  m.impl("exact_lrn_within_channel_backward", lrcn::exact_lrn_within_channel_backward);
  m.impl("exact_relu_backward", lrcn::exact_relu_backward);
  m.impl("exact_sigmoid_backward", lrcn::exact_sigmoid_backward);
  m.impl("exact_tanh_backward", lrcn::exact_tanh_backward);
  m.impl("exact_power_backward", lrcn::exact_power_backward);
  m.impl("exact_scaled", lrcn::exact_scaled);
  m.impl("exact_sum_rows_backward", lrcn::exact_sum_rows_backward);
  m.impl("exact_scale_backward_input", lrcn::exact_scale_backward_input);
  m.impl("exact_scale_backward_scale", lrcn::exact_scale_backward_scale);
  m.impl("exact_scale_backward_bias", lrcn::exact_scale_backward_bias);
  m.impl("exact_softmax_backward", lrcn::exact_softmax_backward);
  m.impl("exact_negative_log_likelihood_backward", lrcn::exact_negative_log_likelihood_backward);
  m.impl("exact_lstm_backward", lrcn::exact_lstm_backward);
  m.impl("exact_rnn_backward", lrcn::exact_rnn_backward);
  m.impl("lstm_recurrence", lrcn::lstm_recurrence_cpu);
  m.impl("lstm_recurrence_backward", lrcn::lstm_recurrence_backward_cpu);
}

// The device that matters is that of the recurrence.
TORCH_LIBRARY_IMPL(lrcn, CompositeExplicitAutograd, m) {
  m.impl("lstm", lrcn::lstm_forward);
  m.impl("lstm_backward", lrcn::lstm_backward);
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("load_blas", lrcn::exact::load_blas, "Load the BLAS of the exact kernels.");
  m.def("blas_core_type", lrcn::exact::blas_core_type, "The core type that the loaded BLAS runs on.");
}
