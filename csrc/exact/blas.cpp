#include "exact/blas.h"

#include <dlfcn.h>
#include <strings.h>

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <mutex>
#include <stdexcept>

namespace lrcn::exact {
namespace {

constexpr int ROW_MAJOR = 101;
constexpr int COLUMN_STRIDE = 1;

struct Library {
  std::string path;
  std::string requested_core_type;
  std::string core_type;
  void (*gemm)(int, int, int, int, int, int, float, const float*, int, const float*, int, float, float*, int);
  void (*gemv)(int, int, int, int, float, const float*, int, const float*, int, float, float*, int);
  void (*axpy)(int, float, const float*, int, float*, int);
  void (*scal)(int, float, float*, int);
  float (*dot)(int, const float*, int, const float*, int);
  float (*asum)(int, const float*, int);
};

Library library;
std::mutex library_mutex;

// OpenBLAS's own symbols, or those of the scipy-openblas wheels, which carry a prefix.
template <typename Function>
Function symbol(void* handle, const std::string& path, const std::string& name) {
  for (const char* prefix : {"scipy_", ""}) {
    if (void* address = dlsym(handle, (prefix + name).c_str())) return reinterpret_cast<Function>(address);
  }
  throw std::runtime_error(path + ": no symbol '" + name + "'; an OpenBLAS with 32-bit integers was expected");
}

void* open_with_core_type(const std::string& path, const std::string& core_type) {
  const char* previous = std::getenv("OPENBLAS_CORETYPE");
  const std::string kept = previous ? previous : "";
  setenv("OPENBLAS_CORETYPE", core_type.c_str(), 1);
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  previous ? setenv("OPENBLAS_CORETYPE", kept.c_str(), 1) : unsetenv("OPENBLAS_CORETYPE");
  if (!handle) throw std::runtime_error(path + ": the BLAS library cannot be loaded: " + dlerror());
  return handle;
}

const Library& loaded() {
  if (!library.gemm) throw std::runtime_error("no BLAS is loaded: call load_blas first (importing lrcn.ops does)");
  return library;
}

int blas_size(int64_t size) {
  if (size > std::numeric_limits<int>::max()) {
    throw std::runtime_error("a dimension of " + std::to_string(size) + " is beyond the 32-bit integers of BLAS");
  }
  return static_cast<int>(size);
}

}  // namespace

void load_blas(const std::string& path, const std::string& core_type) {
  std::lock_guard<std::mutex> lock(library_mutex);
  if (library.gemm) {
    if (library.path == path && library.requested_core_type == core_type) return;
    throw std::runtime_error("the BLAS " + library.path + " (" + library.requested_core_type +
                             ") is in use already; a process keeps the one that it loaded first");
  }
  void* handle = open_with_core_type(path, core_type);
  Library candidate;
  candidate.path = path;
  candidate.requested_core_type = core_type;
  candidate.core_type = symbol<char* (*)()>(handle, path, "openblas_get_corename")();
  if (strcasecmp(candidate.core_type.c_str(), core_type.c_str()) != 0) {
    throw std::runtime_error(path + ": runs as core type " + candidate.core_type + ", but " + core_type +
                             " was asked for; either this processor does not support it, or the same library was "
                             "loaded earlier in this process: import lrcn before it");
  }
  symbol<void (*)(int)>(handle, path, "openblas_set_num_threads")(1);
  candidate.gemv = symbol<decltype(candidate.gemv)>(handle, path, "cblas_sgemv");
  candidate.axpy = symbol<decltype(candidate.axpy)>(handle, path, "cblas_saxpy");
  candidate.scal = symbol<decltype(candidate.scal)>(handle, path, "cblas_sscal");
  candidate.dot = symbol<decltype(candidate.dot)>(handle, path, "cblas_sdot");
  candidate.asum = symbol<decltype(candidate.asum)>(handle, path, "cblas_sasum");
  candidate.gemm = symbol<decltype(candidate.gemm)>(handle, path, "cblas_sgemm");
  library = candidate;
}

std::string blas_core_type() { return loaded().core_type; }

void gemm(Transpose transpose_a, Transpose transpose_b, int64_t m, int64_t n, int64_t k, float alpha, const float* a,
          const float* b, float beta, float* y) {
  const int64_t leading_a = transpose_a == Transpose::No ? k : m;
  const int64_t leading_b = transpose_b == Transpose::No ? n : k;
  loaded().gemm(ROW_MAJOR, static_cast<int>(transpose_a), static_cast<int>(transpose_b), blas_size(m), blas_size(n),
                blas_size(k), alpha, a, blas_size(leading_a), b, blas_size(leading_b), beta, y, blas_size(n));
}

void gemv(Transpose transpose_a, int64_t m, int64_t n, const float* a, const float* x, float beta, float* y) {
  loaded().gemv(ROW_MAJOR, static_cast<int>(transpose_a), blas_size(m), blas_size(n), 1.0f, a, blas_size(n), x,
                COLUMN_STRIDE, beta, y, COLUMN_STRIDE);
}

void axpy(int64_t n, float alpha, const float* x, float* y) { loaded().axpy(blas_size(n), alpha, x, 1, y, 1); }

void scal(int64_t n, float alpha, float* x) { loaded().scal(blas_size(n), alpha, x, 1); }

void scaled(int64_t n, float alpha, const float* x, float* y) {
  std::copy(x, x + n, y);
  scal(n, alpha, y);
}

float dot(int64_t n, const float* x, const float* y) { return strided_dot(n, x, y, 1); }

float strided_dot(int64_t n, const float* x, const float* y, int64_t stride) {
  return loaded().dot(blas_size(n), x, blas_size(stride), y, blas_size(stride));
}

float asum(int64_t n, const float* x) { return loaded().asum(blas_size(n), x, 1); }

int64_t gemm_row_block() {
  // The Haswell kernel (Zen runs the same one) walks over the rows of a row-major product twelve at a time.
  const std::string& core_type = loaded().core_type;
  return core_type == "Haswell" || core_type == "Zen" ? 12 : 0;
}

}  // namespace lrcn::exact
