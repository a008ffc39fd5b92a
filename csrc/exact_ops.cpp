#include "exact_ops.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros_like.h>

#include "exact/blas.h"
#include "exact/inner_product.h"
#include "exact/lrn.h"
#include "exact/neuron.h"
#include "exact/recurrent.h"
#include "exact/softmax.h"
#include "exact_tensors.h"
#include "parallel.h"

namespace lrcn {
namespace {

template <typename Function>
Tensor elementwise(const Tensor& x_given, Function function) {
  const Tensor x = dense(x_given, "x");
  Tensor y = at::empty_like(x);
  const float* source = data(x);
  float* target = out(y);
  parallel_for(x.numel(), GRAIN,
               [&](int64_t begin, int64_t end) { function(end - begin, source + begin, target + begin); });
  return y;
}

// T, N, I, S, H of a recurrent layer with `gates` blocks of H rows in its weights; checks every shape.
exact::RecurrentShape recurrent_shape(const Tensor& x, const Tensor& cont, const Tensor& w_x, const Tensor& b,
                                      const Tensor& w_h, const OptionalTensor& x_static, const OptionalTensor& w_static,
                                      const Tensor& h_0, int64_t gates) {
  TORCH_CHECK(x.dim() >= 2, "x: at least 2 axes (T, N, ...) expected, shape ", x.sizes(), " given");
  check_rank(w_h, "w_h", 2);
  const int64_t T = x.size(0), N = x.size(1), I = count(x, 2, x.dim()), H = w_h.size(1);
  const int64_t S = x_static ? count(*x_static, 1, x_static->dim()) : 0;
  check_shape(cont, "cont", {T, N});
  check_shape(w_x, "w_x", {gates * H, I});
  check_shape(b, "b", {gates * H});
  check_shape(w_h, "w_h", {gates * H, H});
  check_shape(h_0, "h_0", {N, H});
  TORCH_CHECK(x_static.has_value() == w_static.has_value(), "x_static and w_static: both or neither expected");
  if (x_static) {
    TORCH_CHECK(x_static->size(0) == N, "x_static: ", N, " streams expected, shape ", x_static->sizes(), " given");
    check_shape(*w_static, "w_static", {gates * H, S});
  }
  return {T, N, I, S, H};
}

}  // namespace

Tensor exact_convolution(const Tensor& x_given, const Tensor& weight_given, const OptionalTensor& bias_given,
                         IntArrayRef stride, IntArrayRef pad, IntArrayRef dilation, int64_t group) {
  const Tensor x = dense(x_given, "x"), weight = dense(weight_given, "weight");
  const OptionalTensor bias = dense(bias_given, "bias");
  const exact::Convolution convolution = lrcn::convolution(x, weight, stride, pad, dilation, group);
  if (bias) check_shape(*bias, "bias", {weight.size(0)});
  Tensor y =
      at::empty({x.size(0), weight.size(0), convolution.output_height(), convolution.output_width()}, x.options());
  const int64_t x_size = count(x, 1, 4), y_size = count(y, 1, 4);
  const float* source = data(x);
  float* target = out(y);
  parallel_for(x.size(0), 1, [&](int64_t begin, int64_t end) {
    Tensor columns = at::empty({convolution.columns_size()}, x.options());
    for (int64_t n = begin; n < end; ++n) {
      convolution.image(source + n * x_size, data(weight), data(bias), out(columns), target + n * y_size);
    }
  });
  return y;
}

Tensor exact_inner_product(const Tensor& x_given, const Tensor& weight_given, const OptionalTensor& bias_given,
                           bool transposed_weight) {
  const Tensor x = dense(x_given, "x"), weight = dense(weight_given, "weight");
  const OptionalTensor bias = dense(bias_given, "bias");
  check_rank(x, "x", 2);
  check_rank(weight, "weight", 2);
  const int64_t outputs = weight.size(transposed_weight ? 1 : 0);
  const int64_t inputs = weight.size(transposed_weight ? 0 : 1);
  TORCH_CHECK(x.size(1) == inputs, "x: ", inputs, " inputs per row expected, shape ", x.sizes(), " given");
  if (bias) check_shape(*bias, "bias", {outputs});
  Tensor y = at::empty({x.size(0), outputs}, x.options());
  exact::inner_product(x.size(0), outputs, inputs, data(x), data(weight), transposed_weight, data(bias), out(y));
  return y;
}

std::tuple<Tensor, Tensor> exact_max_pool(const Tensor& x_given, IntArrayRef kernel, IntArrayRef stride,
                                          IntArrayRef pad, IntArrayRef output_size) {
  const Tensor x = dense(x_given, "x");
  const exact::Pooling pool = pooling(x, kernel, stride, pad, output_size);
  Tensor y = at::empty({x.size(0), x.size(1), pool.output_height, pool.output_width}, x.options());
  Tensor index = at::empty_like(y);
  const int64_t x_size = count(x, 2, 4), y_size = count(y, 2, 4);
  const float* source = data(x);
  float *target = out(y), *where = out(index);
  parallel_for(count(x, 0, 2), 1, [&](int64_t begin, int64_t end) {
    for (int64_t plane = begin; plane < end; ++plane) {
      pool.max_plane(source + plane * x_size, target + plane * y_size, where + plane * y_size);
    }
  });
  return {y, index};
}

Tensor exact_average_pool(const Tensor& x_given, IntArrayRef kernel, IntArrayRef stride, IntArrayRef pad,
                          IntArrayRef output_size) {
  const Tensor x = dense(x_given, "x");
  const exact::Pooling pool = pooling(x, kernel, stride, pad, output_size);
  Tensor y = at::empty({x.size(0), x.size(1), pool.output_height, pool.output_width}, x.options());
  const int64_t x_size = count(x, 2, 4), y_size = count(y, 2, 4);
  const float* source = data(x);
  float* target = out(y);
  parallel_for(count(x, 0, 2), 1, [&](int64_t begin, int64_t end) {
    for (int64_t plane = begin; plane < end; ++plane) {
      pool.average_plane(source + plane * x_size, target + plane * y_size);
    }
  });
  return y;
}

Tensor exact_lrn_across_channels(const Tensor& x_given, int64_t size, double alpha, double beta, double k) {
  const Tensor x = dense(x_given, "x");
  check_rank(x, "x", 4);
  TORCH_CHECK(size > 0 && size % 2 == 1, "size: an odd number of channels expected, ", size, " given");
  const int64_t channels = x.size(1), positions = count(x, 2, 4), image = channels * positions;
  Tensor y = at::empty_like(x);
  const float* source = data(x);
  float* target = out(y);
  parallel_for(x.size(0), 1, [&](int64_t begin, int64_t end) {
    Tensor squares = at::empty({(channels + size - 1) * positions}, x.options());
    Tensor scale = at::empty({image}, x.options());
    for (int64_t n = begin; n < end; ++n) {
      exact::lrn_across_channels(channels, positions, size, static_cast<float>(alpha), static_cast<float>(beta),
                                 static_cast<float>(k), source + n * image, out(squares), out(scale),
                                 target + n * image);
    }
  });
  return y;
}

Tensor exact_lrn_within_channel(const Tensor& x_given, int64_t size, double alpha, double beta) {
  const Tensor x = dense(x_given, "x");
  check_rank(x, "x", 4);
  TORCH_CHECK(size > 0 && size % 2 == 1, "size: an odd window expected, ", size, " given");
  Tensor y = at::empty_like(x);
  const int64_t plane = count(x, 2, 4);
  const float* source = data(x);
  float* target = out(y);
  parallel_for(count(x, 0, 2), 1, [&](int64_t begin, int64_t end) {
    exact::lrn_within_channel(end - begin, x.size(2), x.size(3), size, static_cast<float>(alpha),
                              static_cast<float>(beta), source + begin * plane, target + begin * plane);
  });
  return y;
}

Tensor exact_relu(const Tensor& x, double negative_slope) {
  return elementwise(x, [&](int64_t n, const float* source, float* target) {
    exact::relu(n, source, static_cast<float>(negative_slope), target);
  });
}

Tensor exact_sigmoid(const Tensor& x) { return elementwise(x, exact::sigmoid); }

Tensor exact_tanh(const Tensor& x) { return elementwise(x, exact::tanh); }

Tensor exact_power(const Tensor& x, double power, double scale, double shift) {
  return elementwise(x, [&](int64_t n, const float* source, float* target) {
    exact::power(n, source, static_cast<float>(power), static_cast<float>(scale), static_cast<float>(shift), target);
  });
}

Tensor exact_weighted_sum(const std::vector<Tensor>& terms, at::ArrayRef<double> coefficients) {
  TORCH_CHECK(!terms.empty() && terms.size() == coefficients.size(), "one coefficient for each term expected, ",
              coefficients.size(), " given for ", terms.size(), " terms");
  Tensor y = at::zeros_like(dense(terms[0], "terms[0]"));
  for (size_t i = 0; i < terms.size(); ++i) {
    const Tensor term = dense(terms[i], "terms");
    check_shape(term, "terms", y.sizes());
    exact::axpy(y.numel(), static_cast<float>(coefficients[i]), data(term), out(y));
  }
  return y;
}

Tensor exact_sum_rows(const Tensor& x_given, bool absolute, bool squared) {
  const Tensor x = dense(x_given, "x");
  check_rank(x, "x", 2);
  TORCH_CHECK(!(absolute && squared), "absolute and squared: at most one of them expected");
  Tensor y = at::empty({x.size(0)}, x.options());
  const int64_t size = x.size(1);
  const std::vector<float> ones(absolute || squared ? 0 : size, 1.0f);
  for (int64_t row = 0; row < x.size(0); ++row) {
    const float* source = data(x) + row * size;
    out(y)[row] = absolute  ? exact::asum(size, source)
                  : squared ? exact::dot(size, source, source)
                            : exact::dot(size, ones.data(), source);
  }
  return y;
}

Tensor exact_softmax(const Tensor& x_given, int64_t axis) {
  const Tensor x = dense(x_given, "x");
  const ClassLayout layout(x, axis);
  Tensor y = at::empty_like(x);
  const float* source = data(x);
  float* target = out(y);
  parallel_for(layout.outer, grain_of(layout.block()), [&](int64_t begin, int64_t end) {
    std::vector<float> scale(layout.positions);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t offset = i * layout.block();
      exact::softmax(layout.classes, layout.positions, source + offset, scale.data(), target + offset);
    }
  });
  return y;
}

std::tuple<Tensor, Tensor> exact_negative_log_likelihood(const Tensor& prob_given, const Tensor& label_given,
                                                         int64_t axis, std::optional<int64_t> ignore_label) {
  const Tensor prob = dense(prob_given, "prob"), label = dense(label_given, "label");
  const ClassLayout layout(prob, axis);
  TORCH_CHECK(label.numel() == layout.outer * layout.positions, "label: ", layout.outer * layout.positions,
              " labels expected, shape ", label.sizes(), " given");
  const exact::LossSum sum =
      exact::negative_log_likelihood(layout.outer, layout.classes, layout.positions, data(prob), data(label),
                                     ignore_label.has_value(), ignore_label.value_or(0));
  Tensor loss = at::empty({}, prob.options()), labels = at::empty({}, prob.options());
  *out(loss) = sum.loss;
  *out(labels) = static_cast<float>(sum.count);
  return {loss, labels};
}

std::tuple<Tensor, Tensor, Tensor> exact_lstm(const Tensor& x_given, const Tensor& cont_given, const Tensor& w_x_given,
                                              const Tensor& b_given, const Tensor& w_h_given,
                                              const OptionalTensor& x_static_given,
                                              const OptionalTensor& w_static_given, const Tensor& h_0_given,
                                              const Tensor& c_0_given) {
  const Tensor x = dense(x_given, "x"), cont = dense(cont_given, "cont"), w_x = dense(w_x_given, "w_x"),
               b = dense(b_given, "b"), w_h = dense(w_h_given, "w_h"), h_0 = dense(h_0_given, "h_0"),
               c_0 = dense(c_0_given, "c_0");
  const OptionalTensor x_static = dense(x_static_given, "x_static"), w_static = dense(w_static_given, "w_static");
  const exact::RecurrentShape shape = recurrent_shape(x, cont, w_x, b, w_h, x_static, w_static, h_0, 4);
  check_shape(c_0, "c_0", h_0.sizes());
  TORCH_CHECK(shape.T > 0, "x: at least one time step expected, shape ", x.sizes(), " given");
  Tensor h = at::empty({shape.T, shape.N, shape.H}, x.options()), c = at::empty_like(h);
  Tensor gates = at::empty({shape.T, shape.N, 4 * shape.H}, x.options());
  exact::lstm(shape, {data(w_x), data(b), data(w_static), data(w_h)}, data(x), data(cont), data(x_static), data(h_0),
              data(c_0), out(h), out(c), out(gates));
  return {h, c, gates};
}

std::tuple<Tensor, Tensor> exact_rnn(const Tensor& x_given, const Tensor& cont_given, const Tensor& w_x_given,
                                     const Tensor& b_given, const Tensor& w_h_given, const Tensor& w_o_given,
                                     const Tensor& b_o_given, const OptionalTensor& x_static_given,
                                     const OptionalTensor& w_static_given, const Tensor& h_0_given) {
  const Tensor x = dense(x_given, "x"), cont = dense(cont_given, "cont"), w_x = dense(w_x_given, "w_x"),
               b = dense(b_given, "b"), w_h = dense(w_h_given, "w_h"), w_o = dense(w_o_given, "w_o"),
               b_o = dense(b_o_given, "b_o"), h_0 = dense(h_0_given, "h_0");
  const OptionalTensor x_static = dense(x_static_given, "x_static"), w_static = dense(w_static_given, "w_static");
  const exact::RecurrentShape shape = recurrent_shape(x, cont, w_x, b, w_h, x_static, w_static, h_0, 1);
  check_shape(w_o, "w_o", {shape.H, shape.H});
  check_shape(b_o, "b_o", {shape.H});
  TORCH_CHECK(shape.T > 0, "x: at least one time step expected, shape ", x.sizes(), " given");
  Tensor o = at::empty({shape.T, shape.N, shape.H}, x.options()), h = at::empty_like(o);
  exact::rnn(shape, {data(w_x), data(b), data(w_static), data(w_h), data(w_o), data(b_o)}, data(x), data(cont),
             data(x_static), data(h_0), out(o), out(h));
  return {o, h};
}

}  // namespace lrcn
