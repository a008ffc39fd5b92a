// Caffe's LSTM and RNN layers, unrolled over time in Caffe's order of operations.
//
// T time steps of N streams, I inputs, S static inputs, H hidden units. All arrays are row-major and dense, and none
// may overlap another.
#pragma once

#include <cstdint>

namespace lrcn::exact {

struct RecurrentShape {
  int64_t T, N, I, S, H;
};

// Gates in the order i, f, o, g.
struct LstmWeights {
  const float* x;        // W_xc (4H, I)
  const float* bias;     // b_c (4H)
  const float* statics;  // W_xc_static (4H, S), or null
  const float* hidden;   // W_hc (4H, H)
};

// x (T, N, I), cont (T, N), x_static (N, S) or null, h_0 and c_0 (N, H); writes h and c (T, N, H), and the gates
// (T, N, 4H) after their sigmoid and tanh, f with cont in it.
void lstm(const RecurrentShape& shape, const LstmWeights& weights, const float* x, const float* cont,
          const float* x_static, const float* h_0, const float* c_0, float* h, float* c, float* gates);

// The way back through time from dh (T, N, H), with what lstm read and wrote: writes da (T, N, 4H), the gradients of
// the pre-activations, and adds to dw_h (4H, H). No gradient comes from behind the last step or goes before the first.
void lstm_backward(const RecurrentShape& shape, const float* w_h, const float* cont, const float* h_0, const float* c_0,
                   const float* h, const float* c, const float* gates, const float* dh, float* da, float* dw_h);

struct RnnWeights {
  const float* x;            // W_xh (H, I)
  const float* bias;         // b_h (H)
  const float* statics;      // W_xh_static (H, S), or null
  const float* hidden;       // W_hh (H, H)
  const float* output;       // W_ho (H, H)
  const float* output_bias;  // b_o (H)
};

// As lstm; writes the outputs o and the hidden states h, (T, N, H) each.
void rnn(const RecurrentShape& shape, const RnnWeights& weights, const float* x, const float* cont,
         const float* x_static, const float* h_0, float* o, float* h);

// As lstm_backward, from do_ (T, N, H): writes da (T, N, H), adds to dw_h (H, H), dw_o (H, H) and db_o (H).
void rnn_backward(const RecurrentShape& shape, const float* w_h, const float* w_o, const float* cont, const float* h_0,
                  const float* o, const float* h, const float* do_, float* da, float* dw_h, float* dw_o, float* db_o);

}  // namespace lrcn::exact
