#include "exact/recurrent.h"

#include <algorithm>
#include <vector>

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

// The pre-activations of all steps from the input alone, and those of the static input, `width` of them per stream.
struct InputTerms {
  std::vector<float> x, statics;

  InputTerms(const RecurrentShape& shape, int64_t width, const float* weight, const float* bias,
             const float* static_weight, const float* x_input, const float* x_static)
      : x(shape.T * shape.N * width), statics(x_static ? shape.N * width : 0) {
    inner_product(shape.T * shape.N, width, shape.I, x_input, weight, false, bias, x.data());
    if (x_static) {
      inner_product(shape.N, width, shape.S, x_static, static_weight, false, nullptr, statics.data());
    }
  }
  const float* static_terms() const { return statics.empty() ? nullptr : statics.data(); }
};

}  // namespace

void lstm(const RecurrentShape& shape, const LstmWeights& weights, const float* x, const float* cont,
          const float* x_static, const float* h_0, const float* c_0, float* h, float* c_T) {
  const auto [T, N, I, S, H] = shape;
  const InputTerms input(shape, 4 * H, weights.x, weights.bias, weights.statics, x, x_static);
  std::vector<float> h_continued(N * H), gates(N * 4 * H);
  std::copy(c_0, c_0 + N * H, c_T);
  for (int64_t t = 0; t < T; ++t) {
    const float* h_previous = t == 0 ? h_0 : h + (t - 1) * N * H;
    const float* cont_t = cont + t * N;
    continued(N, H, h_previous, cont_t, h_continued.data());
    inner_product(N, 4 * H, H, h_continued.data(), weights.hidden, false, nullptr, gates.data());
    add_terms(N * 4 * H, input.x.data() + t * N * 4 * H, input.static_terms(), gates.data());
    for (int64_t n = 0; n < N; ++n) {
      const float* a = gates.data() + n * 4 * H;
      for (int64_t d = 0; d < H; ++d) {
        float& c = c_T[n * H + d];
        const CellState state = caffe_cpu::cell(a[d], a[H + d], a[2 * H + d], a[3 * H + d], cont_t[n], c);
        c = state.c;
        h[(t * N + n) * H + d] = state.h;
      }
    }
  }
}

void rnn(const RecurrentShape& shape, const RnnWeights& weights, const float* x, const float* cont,
         const float* x_static, const float* h_0, float* o, float* h_T) {
  const auto [T, N, I, S, H] = shape;
  const InputTerms input(shape, H, weights.x, weights.bias, weights.statics, x, x_static);
  std::vector<float> h_continued(N * H);
  std::copy(h_0, h_0 + N * H, h_T);
  for (int64_t t = 0; t < T; ++t) {
    continued(N, H, h_T, cont + t * N, h_continued.data());
    inner_product(N, H, H, h_continued.data(), weights.hidden, false, nullptr, h_T);
    add_terms(N * H, input.x.data() + t * N * H, input.static_terms(), h_T);
    tanh(N * H, h_T, h_T);
    float* o_t = o + t * N * H;
    inner_product(N, H, H, h_T, weights.output, false, weights.output_bias, o_t);
    tanh(N * H, o_t, o_t);
  }
}

}  // namespace lrcn::exact
