// What the sources name of the CUDA runtime, for a compiler without it.
#pragma once

enum cudaError_t { cudaSuccess };
using cudaStream_t = void*;
