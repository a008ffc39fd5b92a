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

// x (T, N, I), cont (T, N), x_static (N, S) or null, h_0 and c_0 (N, H); writes h (T, N, H) and c_T (N, H).
void lstm(const RecurrentShape& shape, const LstmWeights& weights, const float* x, const float* cont,
          const float* x_static, const float* h_0, const float* c_0, float* h, float* c_T);

struct RnnWeights {
  const float* x;            // W_xh (H, I)
  const float* bias;         // b_h (H)
  const float* statics;      // W_xh_static (H, S), or null
  const float* hidden;       // W_hh (H, H)
  const float* output;       // W_ho (H, H)
  const float* output_bias;  // b_o (H)
};

// As lstm; writes the outputs o (T, N, H) and h_T (N, H).
void rnn(const RecurrentShape& shape, const RnnWeights& weights, const float* x, const float* cont,
         const float* x_static, const float* h_0, float* o, float* h_T);

}  // namespace lrcn::exact
