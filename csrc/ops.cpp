// Schemas and registration of the ops `torch.ops.lrcn.*`, and the few functions that are not about tensors.
#include <torch/extension.h>
#include <torch/library.h>

#include "exact/blas.h"
#include "exact_ops.h"

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
      " Tensor h_0, Tensor c_0) -> (Tensor h, Tensor h_T, Tensor c_T)");
  m.def(
      "exact_rnn(Tensor x, Tensor cont, Tensor w_x, Tensor b, Tensor w_h, Tensor w_o, Tensor b_o, Tensor? x_static,"
      " Tensor? w_static, Tensor h_0) -> (Tensor o, Tensor h_T)");
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
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("load_blas", lrcn::exact::load_blas, "Load the BLAS of the exact kernels.");
  m.def("blas_core_type", lrcn::exact::blas_core_type, "The core type that the loaded BLAS runs on.");
}
