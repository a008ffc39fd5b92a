// The recurrence of lstm.h on a GPU: for (float, float), (double, double), (__half, float) and (__nv_bfloat16, float).
// Everything is put on the given stream; nothing is allocated and nothing waits, so that a CUDA graph can capture it.
// The bits depend on the plan, never on timing.
#pragma once

#include <cuda_runtime_api.h>

#include "lstm/lstm.h"
#include "lstm/plan.h"

namespace lrcn::lstm {

// The whole recurrence, where plan.persistent; `workspace` has plan.workspace bytes, aligned to 256, of any content.
template <class S, class A>
cudaError_t forward_persistent(const Forward<S, A>& sequence, const Plan& plan, Product product, void* workspace,
                               cudaStream_t stream, int threads = THREADS);
template <class S, class A>
cudaError_t backward_persistent(const Backward<S, A>& sequence, const Plan& plan, Product product, void* workspace,
                                cudaStream_t stream, int threads = THREADS);

// The cells of one step, for every plan. `product` is the recurrent product of this step, made by the caller: forward
// (N, 4H) = continued W_hc^T, and null at step 0; backward (N, H) = d_terms_{t+1} W_hc, and null at the last step.
// `continued` (N, H) receives cont_{t+1} h_t for the next product; it may be null at the last step.
template <class S, class A>
cudaError_t forward_cell(const Forward<S, A>& sequence, int64_t step, const A* product, S* continued,
                         cudaStream_t stream);
// `d_terms` (N, 4H) receives a copy of this step's d_terms in the type of W_hc, for the next product; or null.
template <class S, class A>
cudaError_t backward_cell(const Backward<S, A>& sequence, int64_t step, const A* product, S* d_terms,
                          cudaStream_t stream);

}  // namespace lrcn::lstm
