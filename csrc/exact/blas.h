// The BLAS that Caffe's bits come from, bound at run time.
//
// Caffe's results are those of OpenBLAS with one thread inside each call and one core type; both are fixed here, and
// the library stays private to this extension, so that whatever BLAS numpy or torch use does not matter.
#pragma once

#include <cstdint>
#include <string>

namespace lrcn::exact {

enum class Transpose { No = 111, Yes = 112 };  // the values of CBLAS_TRANSPOSE

// Loads `library` with OPENBLAS_CORETYPE set to `core_type`. Throws std::runtime_error when it cannot be loaded, lacks
// a symbol, or was already loaded in this process for another core type. A second call with the same arguments does
// nothing.
void load_blas(const std::string& library, const std::string& core_type);

// The core type that the loaded library runs on, in its own spelling ("Haswell").
std::string blas_core_type();

// y (m, n) = alpha * op(a) (m, k) * op(b) (k, n) + beta * y; all row-major and dense.
void gemm(Transpose transpose_a, Transpose transpose_b, int64_t m, int64_t n, int64_t k, float alpha, const float* a,
          const float* b, float beta, float* y);

// y = op(a) * x + beta * y with a (m, n) row-major.
void gemv(Transpose transpose_a, int64_t m, int64_t n, const float* a, const float* x, float beta, float* y);

// y += alpha * x
void axpy(int64_t n, float alpha, const float* x, float* y);

// x *= alpha
void scal(int64_t n, float alpha, float* x);

// y = alpha * x, by way of scal: where alpha is 0, every y is +0.
void scaled(int64_t n, float alpha, const float* x, float* y);

float dot(int64_t n, const float* x, const float* y);

// The values of x and y lie `stride` apart.
float strided_dot(int64_t n, const float* x, const float* y, int64_t stride);

// Sum of absolute values.
float asum(int64_t n, const float* x);

// How many rows of `op(a)` one gemm computes together. A gemm cut into two between such blocks has the same bits as
// the whole; cut anywhere else it has not. 0: not known for the loaded core type, do not cut.
int64_t gemm_row_block();

}  // namespace lrcn::exact
