// The flow of brox.h on a GPU, with the same bits. Everything is put on the given stream; nothing is allocated and
// nothing waits, so that a CUDA graph can capture it.
#pragma once

#include <cuda_runtime_api.h>

#include "flow/brox.h"

namespace lrcn::flow {

// What one call can take: the grids of a launch are no larger.
constexpr int64_t MOST_PAIRS = 32767, MOST_ROWS = 500'000;

// Bytes of the workspace for so many pairs.
int64_t brox_workspace(int64_t pairs, Size size, const BroxSettings& settings);

// The arguments of brox_flow for `pairs` pairs at once, one after the other in each array, all of them on the GPU;
// `workspace` is aligned to 256 bytes, of any content.
cudaError_t brox_flow_cuda(const uint8_t* previous, const uint8_t* following, int64_t pairs, Size size,
                           const BroxSettings& settings, float* flow, EnergyStep* energies, void* workspace,
                           cudaStream_t stream);

}  // namespace lrcn::flow
