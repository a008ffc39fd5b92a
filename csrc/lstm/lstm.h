// The recurrence of the LSTM over a whole sequence: what is left when the input's share of every step is a product made
// beforehand, and the weight gradients are products made afterwards. The cell itself is in cell.h.
//
//   a_t = terms_t + W_hc (cont_t h_{t-1}),  then the cell
//
// for t = 1..T. The product with h_0 is no part of the recurrence: it is in terms_1 already, and the gradient of h_0 is
// the caller's. So one step alone needs no W_hc, and a sequence that starts from zeros no first product.
//
// T time steps of N independent streams, H hidden units. S is the type in which h and the weights are stored (float,
// double, half or bfloat16), A the type in which sums and cells are kept (double for double, else float).
//
// Of every pointer below: the array is dense and row-major, belongs to the caller, overlaps no other, and is read or
// written only by this call (on CUDA: by the work that the call puts on the stream). No size is 0. Offsets are 64-bit.
#pragma once

#include <cstdint>

namespace lrcn::lstm {

template <class S, class A>
struct Forward {
  int64_t steps, streams, hidden;  // T, N, H

  A* terms;       // (T, N, 4H): W_xc x_t + b_c + W_xc_static x_static, at the first step + W_hc (cont_1 h_0) as well;
                  // gates in the order i, f, o, g, here as everywhere
  const A* cont;  // (T, N): what each stream keeps of its past; multiplies, so that 0 times NaN stays NaN
  const S* w_h;   // (4H, H): W_hc; not read where T is 1
  const A* c_0;   // (N, H)

  S* h;  // (T, N, H), written; step t + 1 goes on from the h of step t as it is stored here
  A* c;  // (T, N, H), written

  // Where a gradient is wanted: the gates are written over the terms, after their sigmoid and tanh, f with cont in it.
  bool keep_gates;
};

// From the gradients of h, h_T and c_T (h_T is the last step of h once more). The products of whole sequences are the
// caller's: dh_0 is cont_1 (d_terms_1 W_hc), dW_hc the sum over steps of d_terms_t^T (cont_t h_{t-1}), and so on.
template <class S, class A>
struct Backward {
  int64_t steps, streams, hidden;

  // What the forward pass read and wrote.
  const A* cont;   // (T, N)
  const S* w_h;    // (4H, H); not read where T is 1
  const A* c_0;    // (N, H)
  const A* c;      // (T, N, H)
  const A* gates;  // (T, N, 4H): what the terms have become

  const S* dh;          // (T, N, H), or null for zeros
  const S* dh_T;        // (N, H), or null for zeros
  const A* dc_T;        // (N, H), or null for zeros
  bool caffe_gradient;  // the slope of f as Caffe takes it where cont is neither 0 nor 1: see cell_backward

  A* d_terms;  // (T, N, 4H), written: the gradient of the pre-activations
  A* dc_0;     // (N, H), written
};

// On the CPU, in the threads that parallel_for (parallel.h) supplies; for float and double. The bits do not depend on
// the number of threads, nor those of a stream on the streams beside it; they do on the processor's vector
// instructions. The workspace holds as many elements as the function beside it says, for the weights in the order of
// the kernel.
template <class A>
int64_t forward_workspace_cpu(int64_t streams, int64_t hidden);
template <class A>
void forward_cpu(const Forward<A, A>& sequence, A* workspace);
template <class A>
int64_t backward_workspace_cpu(int64_t streams, int64_t hidden);
template <class A>
void backward_cpu(const Backward<A, A>& sequence, A* workspace);

}  // namespace lrcn::lstm
