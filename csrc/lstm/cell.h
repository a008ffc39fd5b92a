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

struct CellState {
  float c;
  float h;
};

// Caffe's CPU formulas, rounding by rounding: the exponential of a float argument is taken in float and everything
// after it in double, while the double argument of tanh keeps its exponential in double as well.
namespace caffe_cpu {

inline float sigmoid(float x) { return static_cast<float>(1. / (1. + std::exp(-x))); }

inline float tanh(float x) { return static_cast<float>(2. * (1. / (1. + std::exp(-2. * x))) - 1.); }

inline CellState cell(float a_i, float a_f, float a_o, float a_g, float cont, float c_previous) {
  const float i = sigmoid(a_i);
  const float f = cont == 0.0f ? 0.0f : cont * sigmoid(a_f);
  const float o = sigmoid(a_o);
  const float g = tanh(a_g);
  const float c = f * c_previous + i * g;
  return {c, o * tanh(c)};
}

}  // namespace caffe_cpu
}  // namespace lrcn
