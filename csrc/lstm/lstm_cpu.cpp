#include <algorithm>
#include <cstdint>
#include <cstring>

#include "lstm/cell.h"
#include "lstm/lstm.h"
#include "parallel.h"

// The kernel once per instruction set; which one runs is seen when it runs. Unlike the exact path it may fuse
// multiplications and additions.
#pragma GCC push_options
#pragma GCC optimize("fp-contract=fast")

#define INSTRUCTION_SET baseline
#define VECTOR_BYTES 16
#define ROWS 3
#include "lstm/lstm_cpu_kernel.h"
#undef INSTRUCTION_SET
#undef VECTOR_BYTES
#undef ROWS

#ifdef __x86_64__
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#define INSTRUCTION_SET avx2
#define VECTOR_BYTES 32
#define ROWS 3
#include "lstm/lstm_cpu_kernel.h"
#undef INSTRUCTION_SET
#undef VECTOR_BYTES
#undef ROWS
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512bw,prefer-vector-width=512")
#define INSTRUCTION_SET avx512
#define VECTOR_BYTES 64
#define ROWS 6
#include "lstm/lstm_cpu_kernel.h"
#undef INSTRUCTION_SET
#undef VECTOR_BYTES
#undef ROWS
#pragma GCC pop_options
#endif

#pragma GCC pop_options

namespace lrcn::lstm {
namespace {

// What the driver below needs of the kernel of one instruction set.
template <class A>
struct Kernel {
  int64_t panel, rows, part;
  decltype(&baseline::product<A>) product;
  decltype(&baseline::forward_cells<A>) forward_cells;
  decltype(&baseline::backward_cells<A>) backward_cells;
};

#define KERNEL(set) \
  {set::PANEL<A>, set::ROWS_AT_ONCE, set::PART, set::product<A>, set::forward_cells<A>, set::backward_cells<A>}

#ifdef __x86_64__
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
}
#endif

template <class A>
const Kernel<A>& kernel() {
#ifdef __x86_64__
  static const Kernel<A> with_avx512 = KERNEL(avx512), with_avx2 = KERNEL(avx2);
  if (has_avx512()) return with_avx512;
  if (has_avx2()) return with_avx2;
#endif
  static const Kernel<A> plain = KERNEL(baseline);
  return plain;
}

int64_t round_up(int64_t value, int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

// Weights in panels, and a product with them per step.
template <class A>
struct Product {
  const Kernel<A>& kernel;
  int64_t rows, inputs, outputs;

  // Of a row of the result, and of the panels together.
  int64_t stride() const { return round_up(outputs, kernel.panel); }
  int64_t size() const { return stride() * inputs; }

  // The weight from input k to output j is weights[k * input_step + j * output_step].
  void pack(const A* weights, int64_t input_step, int64_t output_step, A* panels) const {
    const int64_t width = kernel.panel;
    parallel_for(stride() / width, 1, [&](int64_t begin, int64_t end) {
      for (int64_t first = begin * width; first < end * width; first += width) {
        const int64_t count = std::min(width, outputs - first);
        for (int64_t k = 0; k < inputs; ++k) {
          A* to = panels + first * inputs + k * width;
          for (int64_t j = 0; j < count; ++j) to[j] = weights[k * input_step + (first + j) * output_step];
          std::fill(to + count, to + width, A(0));
        }
      }
    });
  }

  // y (rows, stride) = x (rows, inputs) times the weights.
  void run(const A* x, const A* panels, A* y) const {
    const int64_t parts = round_up(rows, kernel.part) / kernel.part;
    const int64_t rows_per_part = round_up((rows + parts - 1) / parts, kernel.rows);
    const int64_t parts_per_panel = (rows + rows_per_part - 1) / rows_per_part;
    parallel_for(stride() / kernel.panel * parts_per_panel, 1, [&](int64_t begin, int64_t end) {
      kernel.product(rows, rows_per_part, inputs, x, panels, y, stride(), begin, end);
    });
  }
};

// Streams that a thread should have at least: fewer cells are done before it has begun.
int64_t streams_at_least(int64_t hidden) { return std::max<int64_t>(1, 1024 / hidden); }

template <class A>
Product<A> forward_product(int64_t streams, int64_t hidden) {
  return {kernel<A>(), streams, hidden, 4 * hidden};
}

template <class A>
Product<A> backward_product(int64_t streams, int64_t hidden) {
  return {kernel<A>(), streams, 4 * hidden, hidden};
}

}  // namespace

template <class A>
int64_t forward_workspace_cpu(int64_t streams, int64_t hidden) {
  const auto product = forward_product<A>(streams, hidden);
  return product.size() + streams * (product.stride() + hidden);
}

template <class A>
int64_t backward_workspace_cpu(int64_t streams, int64_t hidden) {
  const auto product = backward_product<A>(streams, hidden);
  return product.size() + streams * product.stride() + hidden;
}

template <class A>
void forward_cpu(const Forward<A, A>& sequence, A* workspace) {
  const int64_t T = sequence.steps, N = sequence.streams, H = sequence.hidden;
  const auto product = forward_product<A>(N, H);
  A *hidden = workspace, *continued = hidden + N * product.stride(), *panels = continued + N * H;
  std::fill_n(hidden, product.stride(), A(0));  // the terms of the first step have its product: the same row for all
  if (T > 1) product.pack(sequence.w_h, 1, H, panels);
  for (int64_t t = 0; t < T; ++t) {
    if (t > 0) product.run(continued, panels, hidden);
    const int64_t hidden_stride = t > 0 ? product.stride() : 0;
    parallel_for(N, streams_at_least(H), [&](int64_t begin, int64_t end) {
      product.kernel.forward_cells(sequence, t, hidden, hidden_stride, continued, begin, end);
    });
  }
}

template <class A>
void backward_cpu(const Backward<A, A>& sequence, A* workspace) {
  const int64_t T = sequence.steps, N = sequence.streams, H = sequence.hidden;
  const auto product = backward_product<A>(N, H);
  A *dh = workspace, *panels = dh + N * product.stride(), *zeros = panels + product.size();
  std::fill_n(zeros, H, A(0));
  A* dc = sequence.dc_0;  // as the gradient passes on its way back
  if (sequence.dc_T) {
    std::copy_n(sequence.dc_T, N * H, dc);
  } else {
    std::fill_n(dc, N * H, A(0));
  }
  if (T > 1) product.pack(sequence.w_h, H, 1, panels);
  for (int64_t t = T - 1; t >= 0; --t) {
    if (t < T - 1) product.run(sequence.d_terms + (t + 1) * N * 4 * H, panels, dh);
    parallel_for(N, streams_at_least(H), [&](int64_t begin, int64_t end) {
      product.kernel.backward_cells(sequence, t, dh, product.stride(), zeros, dc, begin, end);
    });
  }
}

template int64_t forward_workspace_cpu<float>(int64_t, int64_t);
template int64_t forward_workspace_cpu<double>(int64_t, int64_t);
template int64_t backward_workspace_cpu<float>(int64_t, int64_t);
template int64_t backward_workspace_cpu<double>(int64_t, int64_t);
template void forward_cpu(const Forward<float, float>&, float*);
template void forward_cpu(const Forward<double, double>&, double*);
template void backward_cpu(const Backward<float, float>&, float*);
template void backward_cpu(const Backward<double, double>&, double*);

}  // namespace lrcn::lstm
