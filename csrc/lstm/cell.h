// The arithmetic of one LSTM cell: one hidden unit of one stream at one time step. The only copy: the exact path, the
// CPU kernel and the CUDA kernel all compute with it.
//
//   i_t = sigmoid(a_i)    f_t = cont * sigmoid(a_f)    o_t = sigmoid(a_o)    g_t = tanh(a_g)
//   c_t = f_t * c_{t-1} + i_t * g_t
//   h_t = o_t * tanh(c_t)
//
// (Donahue et al., 2015, section 2; cont multiplies the forget gate as in Caffe's LSTM unit layer.) The four
// pre-activations a lie in the order i, f, o, g.
#pragma once

#include <cmath>

#include "exponential.h"

namespace lrcn {

// The gates after their sigmoid and tanh; f with cont in it.
template <class Real>
struct Gates {
  Real i, f, o, g;
};

template <class Real>
struct CellState {
  Real c;
  Real h;
};

template <class Real>
struct CellGradient {
  Real a_i, a_f, a_o, a_g;
  Real c_previous;
};

// Caffe's CPU formulas, rounding by rounding: the exponential of a float argument is taken in float and everything
// after it in double, while the double argument of tanh keeps its exponential in double as well.
struct CaffeCpu {
  static inline float sigmoid(float x) { return static_cast<float>(1. / (1. + std::exp(-x))); }
  static inline float tanh(float x) { return static_cast<float>(2. * (1. / (1. + std::exp(-2. * x))) - 1.); }
};

// The fast path: all in the type of the argument, on the host and on the device. Both functions rest on e^x - 1, so
// that tanh keeps its relative precision near 0.
struct Fast {
  template <class Real>
  LRCN_HOST_DEVICE static Real sigmoid(Real x) {
    return Real(1) / (Real(2) + exp_minus_1(-x));
  }

  template <class Real>
  LRCN_HOST_DEVICE static Real tanh(Real x) {
    const Real e = exp_minus_1(Real(2) * x);
    return e / (e + Real(2));
  }
};

// From the pre-activations. f is 0 where cont is 0, whatever a_f is.
template <class Functions, class Real>
LRCN_HOST_DEVICE Gates<Real> gates_of(Real a_i, Real a_f, Real a_o, Real a_g, Real cont) {
  const Real f = cont * Functions::sigmoid(a_f);
  return {Functions::sigmoid(a_i), cont == Real(0) ? Real(0) : f, Functions::sigmoid(a_o), Functions::tanh(a_g)};
}

template <class Functions, class Real>
LRCN_HOST_DEVICE CellState<Real> cell(const Gates<Real>& gates, Real c_previous) {
  const Real c = gates.f * c_previous + gates.i * gates.g;
  return {c, gates.o * Functions::tanh(c)};
}

// From dc and dh, the gradients of c and h. `cont` is what scaled f. Caffe takes the slope of a plain sigmoid for f
// even so; its gradient is that for a cont of 1, and differs where cont is neither 0 nor 1.
template <class Functions, class Real>
LRCN_HOST_DEVICE CellGradient<Real> cell_backward(const Gates<Real>& gates, Real cont, Real c_previous, Real c, Real dc,
                                                  Real dh) {
  const Real i = gates.i, f = gates.f, o = gates.o, g = gates.g, one = 1;
  const Real tanh_c = Functions::tanh(c);
  const Real dc_all = dc + dh * o * (one - tanh_c * tanh_c);
  const Real sigmoid_f = f / (cont == Real(0) ? one : cont);
  return {dc_all * g * i * (one - i), dc_all * c_previous * f * (one - sigmoid_f), dh * tanh_c * o * (one - o),
          dc_all * i * (one - g * g), dc_all * f};
}

}  // namespace lrcn
