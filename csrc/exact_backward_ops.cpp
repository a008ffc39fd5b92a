#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include "exact/blas.h"
#include "exact/inner_product.h"
#include "exact/lrn.h"
#include "exact/neuron.h"
#include "exact/recurrent.h"
#include "exact/scale.h"
#include "exact/softmax.h"
#include "exact_ops.h"
#include "exact_tensors.h"
#include "parallel.h"

namespace lrcn {
namespace {

// A gradient that is added to, which must lie densely where it is.
float* accumulator(Tensor& grad, const char* name, IntArrayRef expected) {
  TORCH_CHECK(grad.scalar_type() == at::kFloat && grad.device().is_cpu() && grad.is_contiguous(), name,
              ": a dense float32 tensor on the CPU expected");
  check_shape(grad, name, expected);
  return out(grad);
}

// dx = function(n, a, dy) over the elements of a (x or y) and dy, which have one shape.
template <typename Function>
Tensor elementwise_backward(const Tensor& dy_given, const Tensor& a_given, Function function) {
  const Tensor dy = dense(dy_given, "dy"), a = dense(a_given, "value");
  check_shape(dy, "dy", a.sizes());
  Tensor dx = at::empty_like(a);
  const float *gradient = data(dy), *value = data(a);
  float* target = out(dx);
  parallel_for(a.numel(), GRAIN, [&](int64_t begin, int64_t end) {
    function(end - begin, value + begin, gradient + begin, target + begin);
  });
  return dx;
}

exact::Scale scale_of(const Tensor& dy) {
  check_rank(dy, "dy", 3);
  return {dy.size(0), dy.size(1), dy.size(2)};
}

}  // namespace

void exact_convolution_backward_weight(const Tensor& dy_given, const Tensor& x_given, Tensor weight_grad,
                                       IntArrayRef stride, IntArrayRef pad, IntArrayRef dilation, int64_t group) {
  const Tensor dy = dense(dy_given, "dy"), x = dense(x_given, "x");
  const exact::Convolution convolution = lrcn::convolution(x, weight_grad, stride, pad, dilation, group);
  check_shape(dy, "dy", {x.size(0), weight_grad.size(0), convolution.output_height(), convolution.output_width()});
  float* target = accumulator(weight_grad, "weight_grad", weight_grad.sizes());
  Tensor columns = at::empty({convolution.columns_size()}, x.options());
  for (int64_t n = 0; n < x.size(0); ++n) {  // image by image: the order of the sum
    convolution.add_weight_gradient(data(x) + n * count(x, 1, 4), data(dy) + n * count(dy, 1, 4), out(columns), target);
  }
}

void exact_convolution_backward_bias(const Tensor& dy_given, Tensor bias_grad) {
  const Tensor dy = dense(dy_given, "dy");
  check_rank(dy, "dy", 4);
  float* target = accumulator(bias_grad, "bias_grad", {dy.size(1)});
  const exact::Scale images{dy.size(0), dy.size(1), count(dy, 2, 4)};
  images.add_bias_gradient(data(dy), target);
}

Tensor exact_convolution_backward_input(const Tensor& dy_given, const Tensor& weight_given, IntArrayRef input_size,
                                        IntArrayRef stride, IntArrayRef pad, IntArrayRef dilation, int64_t group) {
  const Tensor dy = dense(dy_given, "dy"), weight = dense(weight_given, "weight");
  Tensor dx = at::empty(input_size, dy.options());
  const exact::Convolution convolution = lrcn::convolution(dx, weight, stride, pad, dilation, group);
  check_shape(dy, "dy", {dx.size(0), weight.size(0), convolution.output_height(), convolution.output_width()});
  const float* gradient = data(dy);
  float* target = out(dx);
  parallel_for(dx.size(0), 1, [&](int64_t begin, int64_t end) {
    Tensor columns = at::empty({convolution.columns_size()}, dy.options());
    for (int64_t n = begin; n < end; ++n) {
      convolution.image_backward(gradient + n * count(dy, 1, 4), data(weight), out(columns),
                                 target + n * count(dx, 1, 4));
    }
  });
  return dx;
}

void exact_inner_product_backward_weight(const Tensor& dy_given, const Tensor& x_given, Tensor weight_grad,
                                         bool transposed_weight) {
  const Tensor dy = dense(dy_given, "dy"), x = dense(x_given, "x");
  check_rank(dy, "dy", 2);
  check_rank(x, "x", 2);
  TORCH_CHECK(dy.size(0) == x.size(0), "dy: ", x.size(0), " rows expected, shape ", dy.sizes(), " given");
  const int64_t outputs = dy.size(1), inputs = x.size(1);
  float* target = transposed_weight ? accumulator(weight_grad, "weight_grad", {inputs, outputs})
                                    : accumulator(weight_grad, "weight_grad", {outputs, inputs});
  exact::add_weight_gradient(x.size(0), outputs, inputs, data(x), data(dy), transposed_weight, target);
}

void exact_inner_product_backward_bias(const Tensor& dy_given, Tensor bias_grad) {
  const Tensor dy = dense(dy_given, "dy");
  check_rank(dy, "dy", 2);
  exact::add_bias_gradient(dy.size(0), dy.size(1), data(dy), accumulator(bias_grad, "bias_grad", {dy.size(1)}));
}

Tensor exact_inner_product_backward_input(const Tensor& dy_given, const Tensor& weight_given, bool transposed_weight) {
  const Tensor dy = dense(dy_given, "dy"), weight = dense(weight_given, "weight");
  check_rank(dy, "dy", 2);
  check_rank(weight, "weight", 2);
  const int64_t outputs = weight.size(transposed_weight ? 1 : 0), inputs = weight.size(transposed_weight ? 0 : 1);
  check_shape(dy, "dy", {dy.size(0), outputs});
  Tensor dx = at::empty({dy.size(0), inputs}, dy.options());
  exact::inner_product_backward(dy.size(0), outputs, inputs, data(dy), data(weight), transposed_weight, out(dx));
  return dx;
}

void exact_embed_backward_weight(const Tensor& dy_given, const Tensor& index_given, Tensor weight_grad) {
  const Tensor dy = dense(dy_given, "dy"), index = dense(index_given, "index");
  check_rank(dy, "dy", 2);
  check_shape(index, "index", {dy.size(0)});
  check_rank(weight_grad, "weight_grad", 2);
  for (int64_t row = 0; row < index.size(0); ++row) {
    const float value = data(index)[row];
    TORCH_CHECK(value >= 0 && value < weight_grad.size(0), "index: one of ", weight_grad.size(0), " rows expected, ",
                value, " given");
  }
  exact::add_embedding_gradient(dy.size(0), dy.size(1), data(index), data(dy),
                                accumulator(weight_grad, "weight_grad", {weight_grad.size(0), dy.size(1)}));
}

Tensor exact_max_pool_backward(const Tensor& dy_given, const Tensor& index_given, IntArrayRef input_size) {
  const Tensor dy = dense(dy_given, "dy"), index = dense(index_given, "index");
  check_shape(dy, "dy", index.sizes());
  Tensor dx = at::empty(input_size, dy.options());
  const exact::Pooling pool = pooling(dx, {0, 0}, {0, 0}, {0, 0}, dy.sizes().slice(2));
  const int64_t x_size = count(dx, 2, 4), y_size = count(dy, 2, 4);
  const float *gradient = data(dy), *where = data(index);
  float* target = out(dx);
  parallel_for(count(dx, 0, 2), grain_of(x_size), [&](int64_t begin, int64_t end) {
    for (int64_t plane = begin; plane < end; ++plane) {
      pool.max_plane_backward(where + plane * y_size, gradient + plane * y_size, target + plane * x_size);
    }
  });
  return dx;
}

Tensor exact_average_pool_backward(const Tensor& dy_given, IntArrayRef input_size, IntArrayRef kernel,
                                   IntArrayRef stride, IntArrayRef pad) {
  const Tensor dy = dense(dy_given, "dy");
  check_rank(dy, "dy", 4);
  Tensor dx = at::empty(input_size, dy.options());
  const exact::Pooling pool = pooling(dx, kernel, stride, pad, dy.sizes().slice(2));
  const int64_t x_size = count(dx, 2, 4), y_size = count(dy, 2, 4);
  const float* gradient = data(dy);
  float* target = out(dx);
  parallel_for(count(dx, 0, 2), grain_of(x_size), [&](int64_t begin, int64_t end) {
    for (int64_t plane = begin; plane < end; ++plane) {
      pool.average_plane_backward(gradient + plane * y_size, target + plane * x_size);
    }
  });
  return dx;
}

Tensor exact_lrn_across_channels_backward(const Tensor& dy_given, const Tensor& x_given, const Tensor& y_given,
                                          int64_t size, double alpha, double beta, double k) {
  const Tensor dy = dense(dy_given, "dy"), x = dense(x_given, "x"), y = dense(y_given, "y");
  check_rank(x, "x", 4);
  check_shape(dy, "dy", x.sizes());
  check_shape(y, "y", x.sizes());
  Tensor dx = at::empty_like(x);
  const int64_t image = count(x, 1, 4);
  const float *input = data(x), *output = data(y), *gradient = data(dy);
  float* target = out(dx);
  parallel_for(x.size(0), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * image; i < end * image; i += image) {
      exact::lrn_across_channels_backward(x.size(1), count(x, 2, 4), size, static_cast<float>(alpha),
                                          static_cast<float>(beta), static_cast<float>(k), input + i, output + i,
                                          gradient + i, target + i);
    }
  });
  return dx;
}

Tensor exact_lrn_within_channel_backward(const Tensor& dy_given, const Tensor& x_given, int64_t size, double alpha,
                                         double beta) {
  const Tensor dy = dense(dy_given, "dy"), x = dense(x_given, "x");
  check_rank(x, "x", 4);
  check_shape(dy, "dy", x.sizes());
  Tensor dx = at::empty_like(x);
  const int64_t plane = count(x, 2, 4);
  const float *input = data(x), *gradient = data(dy);
  float* target = out(dx);
  parallel_for(count(x, 0, 2), 1, [&](int64_t begin, int64_t end) {
    exact::lrn_within_channel_backward(end - begin, x.size(2), x.size(3), size, static_cast<float>(alpha),
                                       static_cast<float>(beta), input + begin * plane, gradient + begin * plane,
                                       target + begin * plane);
  });
  return dx;
}

Tensor exact_relu_backward(const Tensor& dy, const Tensor& y, double negative_slope) {
  return elementwise_backward(dy, y, [&](int64_t n, const float* value, const float* gradient, float* target) {
    exact::relu_backward(n, value, gradient, static_cast<float>(negative_slope), target);
  });
}

Tensor exact_sigmoid_backward(const Tensor& dy, const Tensor& y) {
  return elementwise_backward(dy, y, exact::sigmoid_backward);
}

Tensor exact_tanh_backward(const Tensor& dy, const Tensor& y) {
  return elementwise_backward(dy, y, exact::tanh_backward);
}

Tensor exact_power_backward(const Tensor& dy, const Tensor& x_given, const Tensor& y_given, double power, double scale,
                            double shift) {
  const Tensor x = dense(x_given, "x"), y = dense(y_given, "y");
  check_shape(y, "y", x.sizes());
  return elementwise_backward(dy, x, [&](int64_t n, const float* value, const float* gradient, float* target) {
    const float* y_part = data(y) + (value - data(x));
    exact::power_backward(n, value, y_part, gradient, static_cast<float>(power), static_cast<float>(scale),
                          static_cast<float>(shift), target);
  });
}

Tensor exact_scaled(const Tensor& x_given, double factor) {
  const Tensor x = dense(x_given, "x");
  Tensor y = at::empty_like(x);
  exact::scaled(x.numel(), static_cast<float>(factor), data(x), out(y));
  return y;
}

Tensor exact_sum_rows_backward(const Tensor& dy_given, const Tensor& x_given, bool absolute, bool squared) {
  const Tensor dy = dense(dy_given, "dy"), x = dense(x_given, "x");
  check_rank(x, "x", 2);
  check_shape(dy, "dy", {x.size(0)});
  Tensor dx = at::empty_like(x);
  const int64_t size = x.size(1);
  for (int64_t row = 0; row < x.size(0); ++row) {
    const float gradient = data(dy)[row];
    const float* source = data(x) + row * size;
    float* target = out(dx) + row * size;
    if (squared) {
      exact::scaled(size, 2 * gradient, source, target);
    } else if (absolute) {
      for (int64_t i = 0; i < size; ++i) target[i] = static_cast<float>((source[i] > 0) - (source[i] < 0));
      exact::scal(size, gradient, target);
    } else {
      std::fill(target, target + size, gradient);
    }
  }
  return dx;
}

Tensor exact_scale_backward_input(const Tensor& dy_given, const Tensor& scale_given) {
  const Tensor dy = dense(dy_given, "dy"), scale = dense(scale_given, "scale");
  const exact::Scale shape = scale_of(dy);
  check_shape(scale, "scale", {shape.factors});
  Tensor dx = at::empty_like(dy);
  shape.backward(data(scale), data(dy), out(dx));
  return dx;
}

void exact_scale_backward_scale(const Tensor& dy_given, const Tensor& x_given, Tensor scale_grad, bool accumulate) {
  const Tensor dy = dense(dy_given, "dy"), x = dense(x_given, "x");
  check_shape(x, "x", dy.sizes());
  const exact::Scale shape = scale_of(dy);
  shape.scale_gradient(data(x), data(dy), accumulate, accumulator(scale_grad, "scale_grad", {shape.factors}));
}

void exact_scale_backward_bias(const Tensor& dy_given, Tensor bias_grad) {
  const Tensor dy = dense(dy_given, "dy");
  const exact::Scale shape = scale_of(dy);
  shape.add_bias_gradient(data(dy), accumulator(bias_grad, "bias_grad", {shape.factors}));
}

Tensor exact_softmax_backward(const Tensor& dy_given, const Tensor& y_given, int64_t axis) {
  const Tensor dy = dense(dy_given, "dy"), y = dense(y_given, "y");
  check_shape(dy, "dy", y.sizes());
  const ClassLayout layout(y, axis);
  Tensor dx = at::empty_like(y);
  const float *gradient = data(dy), *output = data(y);
  float* target = out(dx);
  parallel_for(layout.outer, grain_of(layout.block()), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * layout.block(); i < end * layout.block(); i += layout.block()) {
      exact::softmax_backward(layout.classes, layout.positions, output + i, gradient + i, target + i);
    }
  });
  return dx;
}

Tensor exact_negative_log_likelihood_backward(const Tensor& dloss_given, const Tensor& prob_given,
                                              const Tensor& label_given, int64_t axis,
                                              std::optional<int64_t> ignore_label) {
  const Tensor dloss = dense(dloss_given, "dloss"), prob = dense(prob_given, "prob"),
               label = dense(label_given, "label");
  check_shape(dloss, "dloss", {});
  const ClassLayout layout(prob, axis);
  TORCH_CHECK(label.numel() == layout.outer * layout.positions, "label: ", layout.outer * layout.positions,
              " labels expected, shape ", label.sizes(), " given");
  Tensor dx = at::empty_like(prob);
  exact::negative_log_likelihood_backward(layout.outer, layout.classes, layout.positions, data(prob), data(label),
                                          ignore_label.has_value(), ignore_label.value_or(0), *data(dloss), out(dx));
  return dx;
}

Tensor exact_lstm_backward(const Tensor& dh_given, const Tensor& cont_given, const Tensor& w_h_given,
                           const Tensor& h_0_given, const Tensor& c_0_given, const Tensor& h_given,
                           const Tensor& c_given, const Tensor& gates_given, Tensor w_h_grad) {
  const Tensor dh = dense(dh_given, "dh"), cont = dense(cont_given, "cont"), w_h = dense(w_h_given, "w_h"),
               h_0 = dense(h_0_given, "h_0"), c_0 = dense(c_0_given, "c_0"), h = dense(h_given, "h"),
               c = dense(c_given, "c"), gates = dense(gates_given, "gates");
  check_rank(h, "h", 3);
  const int64_t T = h.size(0), N = h.size(1), H = h.size(2);
  check_shape(dh, "dh", h.sizes());
  check_shape(cont, "cont", {T, N});
  check_shape(w_h, "w_h", {4 * H, H});
  check_shape(h_0, "h_0", {N, H});
  check_shape(c_0, "c_0", {N, H});
  check_shape(c, "c", h.sizes());
  check_shape(gates, "gates", {T, N, 4 * H});
  Tensor da = at::empty_like(gates);
  exact::lstm_backward({T, N, 0, 0, H}, data(w_h), data(cont), data(h_0), data(c_0), data(h), data(c), data(gates),
                       data(dh), out(da), accumulator(w_h_grad, "w_h_grad", w_h.sizes()));
  return da;
}

Tensor exact_rnn_backward(const Tensor& d_o_given, const Tensor& cont_given, const Tensor& w_h_given,
                          const Tensor& w_o_given, const Tensor& h_0_given, const Tensor& o_given,
                          const Tensor& h_given, Tensor w_h_grad, Tensor w_o_grad, Tensor b_o_grad) {
  const Tensor d_o = dense(d_o_given, "d_o"), cont = dense(cont_given, "cont"), w_h = dense(w_h_given, "w_h"),
               w_o = dense(w_o_given, "w_o"), h_0 = dense(h_0_given, "h_0"), o = dense(o_given, "o"),
               h = dense(h_given, "h");
  check_rank(h, "h", 3);
  const int64_t T = h.size(0), N = h.size(1), H = h.size(2);
  check_shape(d_o, "d_o", h.sizes());
  check_shape(cont, "cont", {T, N});
  check_shape(w_h, "w_h", {H, H});
  check_shape(w_o, "w_o", {H, H});
  check_shape(h_0, "h_0", {N, H});
  check_shape(o, "o", h.sizes());
  Tensor da = at::empty_like(h);
  exact::rnn_backward({T, N, 0, 0, H}, data(w_h), data(w_o), data(cont), data(h_0), data(o), data(h), data(d_o),
                      out(da), accumulator(w_h_grad, "w_h_grad", w_h.sizes()),
                      accumulator(w_o_grad, "w_o_grad", w_o.sizes()), accumulator(b_o_grad, "b_o_grad", {H}));
  return da;
}

}  // namespace lrcn
