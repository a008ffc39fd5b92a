// The arithmetic of one LSTM cell: one hidden unit of one stream at one time step.
//
//   i_t = sigmoid(a_i)    f_t = cont * sigmoid(a_f)    o_t = sigmoid(a_o)    g_t = tanh(a_g)
//   c_t = f_t * c_{t-1} + i_t * g_t
//   h_t = o_t * tanh(c_t)
//
// (Donahue et al., 2015, section 2; cont multiplies the forget gate as in Caffe's LSTM unit layer.) The four
// pre-activations a lie in the order i, f, o, g.
#pragma once

#include <cmath>

namespace lrcn {

// The gates after their sigmoid and tanh; f with cont in it.
struct Gates {
  float i, f, o, g;
};

struct CellState {
  float c;
  float h;
};

struct CellGradient {
  float a_i, a_f, a_o, a_g;
  float c_previous;
};

// Caffe's CPU formulas, rounding by rounding: the exponential of a float argument is taken in float and everything
// after it in double, while the double argument of tanh keeps its exponential in double as well.
namespace caffe_cpu {

inline float sigmoid(float x) { return static_cast<float>(1. / (1. + std::exp(-x))); }

inline float tanh(float x) { return static_cast<float>(2. * (1. / (1. + std::exp(-2. * x))) - 1.); }

inline Gates gates(float a_i, float a_f, float a_o, float a_g, float cont) {
  return {sigmoid(a_i), cont == 0.0f ? 0.0f : cont * sigmoid(a_f), sigmoid(a_o), tanh(a_g)};
}

inline CellState cell(const Gates& gates, float c_previous) {
  const float c = gates.f * c_previous + gates.i * gates.g;
  return {c, gates.o * tanh(c)};
}

// From dc and dh, the gradients of c and h. The slope of f is that of a plain sigmoid even where cont scales it.
inline CellGradient cell_backward(const Gates& gates, float c_previous, float c, float dc, float dh) {
  const auto [i, f, o, g] = gates;
  const float tanh_c = tanh(c);
  const float dc_all = dc + dh * o * (1.0f - tanh_c * tanh_c);
  return {dc_all * g * i * (1.0f - i), dc_all * c_previous * f * (1.0f - f), dh * tanh_c * o * (1.0f - o),
          dc_all * i * (1.0f - g * g), dc_all * f};
}

}  // namespace caffe_cpu
}  // namespace lrcn
