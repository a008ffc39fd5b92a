#include "exact/recurrent.h"

#include <algorithm>
#include <vector>

#include "exact/blas.h"
#include "exact/inner_product.h"
#include "exact/neuron.h"
#include "lstm/cell.h"

namespace lrcn::exact {
namespace {

// The hidden state as the next step sees it: each stream multiplied by its cont.
void continued(int64_t N, int64_t H, const float* h, const float* cont, float* y) {
  for (int64_t n = 0; n < N; ++n) {
    for (int64_t d = 0; d < H; ++d) y[n * H + d] = h[n * H + d] * cont[n];
  }
}

// ((0 + hidden) + input) + static, into `hidden`; statics may be null.
void add_terms(int64_t count, const float* input, const float* statics, float* hidden) {
  for (int64_t i = 0; i < count; ++i) {
    // The 0 is Caffe's: it turns a -0 into +0.
    float sum = (0.0f + hidden[i]) + input[i];
    if (statics) sum += statics[i];
    hidden[i] = sum;
  }
}

// The static input's share in the pre-activations, `width` of them per stream; null without a static input.
struct StaticTerms {
  std::vector<float> terms;

  StaticTerms(const RecurrentShape& shape, int64_t width, const float* weight, const float* x_static)
      : terms(x_static ? shape.N * width : 0) {
    if (x_static) inner_product(shape.N, width, shape.S, x_static, weight, false, nullptr, terms.data());
  }
  const float* data() const { return terms.empty() ? nullptr : terms.data(); }
};

// The way back through h_previous -> continued -> product with w_h (width, H), whose gradient is da (N, width): adds
// to dw_h and, unless it is null, writes dh_previous.
void hidden_backward(int64_t N, int64_t H, int64_t width, const float* w_h, const float* h_previous, const float* cont,
                     const float* da, float* dw_h, float* dh_previous) {
  std::vector<float> continued_h(N * H);
  continued(N, H, h_previous, cont, continued_h.data());
  add_weight_gradient(N, width, H, continued_h.data(), da, false, dw_h);
  if (!dh_previous) return;
  inner_product_backward(N, width, H, da, w_h, false, dh_previous);
  for (int64_t n = 0; n < N; ++n) scal(H, cont[n], dh_previous + n * H);
}

}  // namespace

void lstm(const RecurrentShape& shape, const LstmWeights& weights, const float* x, const float* cont,
          const float* x_static, const float* h_0, const float* c_0, float* h, float* c, float* gates) {
  const auto [T, N, I, S, H] = shape;
  const StaticTerms statics(shape, 4 * H, weights.statics, x_static);
  std::vector<float> h_continued(N * H), a(N * 4 * H);
  inner_product(T * N, 4 * H, I, x, weights.x, false, weights.bias, gates);  // the input's share of all steps
  for (int64_t t = 0; t < T; ++t, cont += N, gates += N * 4 * H) {
    continued(N, H, t == 0 ? h_0 : h + (t - 1) * N * H, cont, h_continued.data());
    inner_product(N, 4 * H, H, h_continued.data(), weights.hidden, false, nullptr, a.data());
    add_terms(N * 4 * H, gates, statics.data(), a.data());
    for (int64_t n = 0; n < N; ++n) {
      const float* a_n = a.data() + n * 4 * H;
      float* gates_n = gates + n * 4 * H;
      for (int64_t d = 0; d < H; ++d) {
        const int64_t unit = (t * N + n) * H + d;
        const auto gate = gates_of<CaffeCpu>(a_n[d], a_n[H + d], a_n[2 * H + d], a_n[3 * H + d], cont[n]);
        const auto state = cell<CaffeCpu>(gate, t == 0 ? c_0[n * H + d] : c[unit - N * H]);
        gates_n[d] = gate.i;
        gates_n[H + d] = gate.f;
        gates_n[2 * H + d] = gate.o;
        gates_n[3 * H + d] = gate.g;
        c[unit] = state.c;
        h[unit] = state.h;
      }
    }
  }
}

void lstm_backward(const RecurrentShape& shape, const float* w_h, const float* cont, const float* h_0, const float* c_0,
                   const float* h, const float* c, const float* gates, const float* dh, float* da, float* dw_h) {
  const auto [T, N, I, S, H] = shape;
  std::vector<float> dh_next(N * H), dc(N * H, 0.0f);
  for (int64_t t = T - 1; t >= 0; --t) {
    float* da_t = da + t * N * 4 * H;
    for (int64_t n = 0; n < N; ++n) {
      const float* gates_n = gates + (t * N + n) * 4 * H;
      float* da_n = da_t + n * 4 * H;
      for (int64_t d = 0; d < H; ++d) {
        const int64_t unit = (t * N + n) * H + d;
        // The next step and the output both read h.
        const float dh_unit = t == T - 1 ? dh[unit] : dh_next[n * H + d] + dh[unit];
        const Gates<float> gate{gates_n[d], gates_n[H + d], gates_n[2 * H + d], gates_n[3 * H + d]};
        const float c_previous = t == 0 ? c_0[n * H + d] : c[unit - N * H];
        const float slope_as_if_cont = 1.0f;
        const auto gradient =
            cell_backward<CaffeCpu>(gate, slope_as_if_cont, c_previous, c[unit], dc[n * H + d], dh_unit);
        da_n[d] = gradient.a_i;
        da_n[H + d] = gradient.a_f;
        da_n[2 * H + d] = gradient.a_o;
        da_n[3 * H + d] = gradient.a_g;
        dc[n * H + d] = gradient.c_previous;
      }
    }
    hidden_backward(N, H, 4 * H, w_h, t == 0 ? h_0 : h + (t - 1) * N * H, cont + t * N, da_t, dw_h,
                    t == 0 ? nullptr : dh_next.data());
  }
}

void rnn(const RecurrentShape& shape, const RnnWeights& weights, const float* x, const float* cont,
         const float* x_static, const float* h_0, float* o, float* h) {
  const auto [T, N, I, S, H] = shape;
  const StaticTerms statics(shape, H, weights.statics, x_static);
  std::vector<float> terms(T * N * H), h_continued(N * H);
  inner_product(T * N, H, I, x, weights.x, false, weights.bias, terms.data());
  for (int64_t t = 0; t < T; ++t) {
    float *h_t = h + t * N * H, *o_t = o + t * N * H;
    continued(N, H, t == 0 ? h_0 : h_t - N * H, cont + t * N, h_continued.data());
    inner_product(N, H, H, h_continued.data(), weights.hidden, false, nullptr, h_t);
    add_terms(N * H, terms.data() + t * N * H, statics.data(), h_t);
    tanh(N * H, h_t, h_t);
    inner_product(N, H, H, h_t, weights.output, false, weights.output_bias, o_t);
    tanh(N * H, o_t, o_t);
  }
}

void rnn_backward(const RecurrentShape& shape, const float* w_h, const float* w_o, const float* cont, const float* h_0,
                  const float* o, const float* h, const float* do_, float* da, float* dw_h, float* dw_o, float* db_o) {
  const auto [T, N, I, S, H] = shape;
  const int64_t count = N * H;
  std::vector<float> dz(count), dh(count), dh_next(count);
  for (int64_t t = T - 1; t >= 0; --t) {
    const float* h_t = h + t * count;
    tanh_backward(count, o + t * count, do_ + t * count, dz.data());
    add_weight_gradient(N, H, H, h_t, dz.data(), false, dw_o);
    add_bias_gradient(N, H, dz.data(), db_o);
    inner_product_backward(N, H, H, dz.data(), w_o, false, dh.data());
    if (t < T - 1) {
      for (int64_t i = 0; i < count; ++i) dh[i] += dh_next[i];
    }
    tanh_backward(count, h_t, dh.data(), da + t * count);
    hidden_backward(N, H, H, w_h, t == 0 ? h_0 : h_t - count, cont + t * N, da + t * count, dw_h,
                    t == 0 ? nullptr : dh_next.data());
  }
}

}  // namespace lrcn::exact
