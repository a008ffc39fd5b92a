// The recurrence on a GPU. A step is little work, (N, H) times (H, 4H), but the next one cannot start before all of it
// is done: what it costs is reading W_hc again and starting kernels. So one launch does the whole sequence. Its blocks,
// one per multiprocessor, divide the hidden units into slices and the streams into groups (plan.h); a block keeps W_hc
// of its slice in shared memory (500 streams, H = 256: 8 slices of 32 units, 128 KB, and 16 groups of 32 streams; 100
// streams, H = 1000: 125 slices of 8 units, 128 KB, and one group), and only the blocks of one group wait for each
// other, once per step:
//
//   wait until all slices of the group have published the previous step
//   product: bring their numbers from the L2 cache into shared memory, chunk by chunk, and multiply with the slice
//   cells: add up the parts that threads have summed, compute the cell, store, publish this step
//
// Forward, the published numbers are cont_{t+1} h_t (H per stream) and a unit has four weight rows; backward they are
// d_terms_t (4H per stream), and a unit has one weight row, a column of W_hc. The rest is the same code.
//
// Two buffers take turns for the published numbers: a block overwrites what was read in the step before the last, and
// all blocks of its group have arrived since. Every sum has one owner and a fixed order.
#include <type_traits>

#include "lstm/cell.h"
#include "lstm/gpu.cuh"
#include "lstm/lstm_cuda.h"
#include "lstm/tiles.cuh"

namespace lrcn::lstm {
namespace {

// The way forward, step by step: what surrounds the product. A hidden unit has `rows` sums of the product, and
// publishes `numbers` for the next one.
template <class S, class A>
struct ForwardSteps {
  using Stored = S;
  using Sum = A;
  static constexpr int rows = 4, numbers = 1;
  Forward<S, A> q;

  // What a cell needs beside the product; read ahead, while the product of other blocks is still awaited.
  struct Inputs {
    A a[4];
    A c_previous, cont, cont_next;
  };

  __device__ Inputs inputs(int64_t step, int64_t n, int64_t unit) const {
    const int64_t row = step * q.streams + n;
    const A* a = q.terms + row * 4 * q.hidden + unit;
    return {{a[0], a[q.hidden], a[2 * q.hidden], a[3 * q.hidden]},
            step == 0 ? q.c_0[n * q.hidden + unit] : q.c[(row - q.streams) * q.hidden + unit],
            q.cont[row],
            step + 1 == q.steps ? A(0) : q.cont[row + q.streams]};
  }

  // `sums` is the product of this unit. Returns cont_{t+1} h_t.
  __device__ A cell(int64_t step, int64_t n, int64_t unit, const Inputs& in, const A (&sums)[rows]) const {
    const int64_t row = step * q.streams + n;
    const Gates<A> gates =
        gates_of<Fast>(in.a[0] + sums[0], in.a[1] + sums[1], in.a[2] + sums[2], in.a[3] + sums[3], in.cont);
    const CellState<A> state = lrcn::cell<Fast>(gates, in.c_previous);
    S h;
    gpu::narrow(state.h, h);
    q.h[row * q.hidden + unit] = h;
    q.c[row * q.hidden + unit] = state.c;
    if (q.keep_gates) {
      A* y = q.terms + row * 4 * q.hidden + unit;
      y[0] = gates.i;
      y[q.hidden] = gates.f;
      y[2 * q.hidden] = gates.o;
      y[3 * q.hidden] = gates.g;
    }
    return in.cont_next * gpu::widened(h);
  }

  // Into what its stream publishes; `put` stores one number.
  template <class Number, class Put>
  __device__ void publish(A continued, int64_t unit, Number* stream, Put put) const {
    put(continued, stream[unit]);
  }

  // The weight rows of the units from `first` on, four per unit, into shared memory; zeros in the padding.
  template <class Tile>
  __device__ void load_weights(const Plan& plan, int64_t first, A* weights) const {
    const bool aligned = q.hidden % 4 == 0 && reinterpret_cast<uintptr_t>(q.w_h) % (4 * sizeof(S)) == 0;
    if (aligned) {
      load_weights<Tile, 4>(plan, first, weights);
    } else {
      load_weights<Tile, 1>(plan, first, weights);
    }
  }

private:
  // WIDTH numbers are read at once.
  template <class Tile, int WIDTH>
  __device__ void load_weights(const Plan& plan, int64_t first, A* weights) const {
    struct alignas(WIDTH * sizeof(S)) Numbers {
      S values[WIDTH];
    };
    for (int row = threadIdx.x / 32; row < plan.rows; row += blockDim.x / 32) {
      const int64_t unit = first + row / 4, gate = row % 4;
      const bool real = row / 4 < plan.units && unit < q.hidden;
      const S* source = q.w_h + (gate * q.hidden + unit) * q.hidden;
      A* target = weights + row * (plan.length + Plan::padding<A>);
#pragma unroll 8
      for (int k = threadIdx.x % 32 * WIDTH; k < plan.length; k += 32 * WIDTH) {
        Numbers numbers{};
        if (real && k < q.hidden) numbers = *reinterpret_cast<const Numbers*>(source + k);
#pragma unroll
        for (int i = 0; i < WIDTH; ++i) target[k + i] = Tile::operand(gpu::widened(numbers.values[i]));
      }
    }
  }
};

// The way back; step 0 is the last of the sequence.
template <class S, class A>
struct BackwardSteps {
  using Stored = S;
  using Sum = A;
  static constexpr int rows = 1, numbers = 4;
  Backward<S, A> q;

  struct Inputs {
    Gates<A> gates;
    A c_previous, c, cont, cont_next, dh, dc;
  };

  __device__ Inputs inputs(int64_t step, int64_t n, int64_t unit) const {
    const int64_t t = q.steps - 1 - step, row = t * q.streams + n, state = n * q.hidden + unit;
    const A* gates = q.gates + row * 4 * q.hidden + unit;
    A dh = q.dh ? gpu::widened(q.dh[row * q.hidden + unit]) : A(0), dc;
    if (step == 0) {
      if (q.dh_T) dh += gpu::widened(q.dh_T[state]);
      dc = q.dc_T ? q.dc_T[state] : A(0);
    } else {
      dc = q.dc_0[state];  // on its way to step 0
    }
    return {{gates[0], gates[q.hidden], gates[2 * q.hidden], gates[3 * q.hidden]},
            t == 0 ? q.c_0[state] : q.c[(row - q.streams) * q.hidden + unit],
            q.c[row * q.hidden + unit],
            q.cont[row],
            step == 0 ? A(0) : q.cont[row + q.streams],
            dh,
            dc};
  }

  // Returns this unit's d_terms.
  __device__ CellGradient<A> cell(int64_t step, int64_t n, int64_t unit, const Inputs& in,
                                  const A (&sums)[rows]) const {
    const int64_t row = (q.steps - 1 - step) * q.streams + n;
    const A dh = step == 0 ? in.dh : in.cont_next * sums[0] + in.dh;
    const CellGradient<A> gradient =
        cell_backward<Fast>(in.gates, q.caffe_gradient ? A(1) : in.cont, in.c_previous, in.c, in.dc, dh);
    A* y = q.d_terms + row * 4 * q.hidden + unit;
    y[0] = gradient.a_i;
    y[q.hidden] = gradient.a_f;
    y[2 * q.hidden] = gradient.a_o;
    y[3 * q.hidden] = gradient.a_g;
    q.dc_0[n * q.hidden + unit] = gradient.c_previous;
    return gradient;
  }

  template <class Number, class Put>
  __device__ void publish(const CellGradient<A>& gradient, int64_t unit, Number* stream, Put put) const {
    put(gradient.a_i, stream[unit]);
    put(gradient.a_f, stream[unit + q.hidden]);
    put(gradient.a_o, stream[unit + 2 * q.hidden]);
    put(gradient.a_g, stream[unit + 3 * q.hidden]);
  }

  // The columns of the units from `first` on.
  template <class Tile>
  __device__ void load_weights(const Plan& plan, int64_t first, A* weights) const {
    const int row = threadIdx.x % plan.rows;
    const bool real = row < plan.units && first + row < q.hidden;
    const S* source = q.w_h + first + row;
    A* target = weights + row * (plan.length + Plan::padding<A>);
#pragma unroll 16
    for (int k = threadIdx.x / plan.rows; k < plan.length; k += blockDim.x / plan.rows) {
      target[k] = real && k < 4 * q.hidden ? Tile::operand(gpu::widened(source[k * q.hidden])) : A(0);
    }
  }
};

// sums (splits, padded_streams, rows + padding), in `chunks`, which hold the streams' numbers before: weights times the
// numbers (streams, length) that the group has published.
template <class Tile, class A>
__device__ void multiply(const Plan& plan, const A* weights, const A* numbers, int streams, A* chunks) {
  const Place place(plan, Tile::SHAPE.threads);
  const int stride = plan.chunk + Plan::padding<A>, chunk_size = plan.padded_streams * stride;
  const auto bring = [&](int chunk) {
    const int first = chunk * plan.chunk, count = min(plan.chunk, plan.length - first);
    A* target = chunks + chunk % 2 * chunk_size;
    for (int stream = threadIdx.x / 32; stream < streams; stream += blockDim.x / 32) {
      for (int k = threadIdx.x % 32 * Vector<A>::SIZE; k < count; k += 32 * Vector<A>::SIZE) {
        gpu::copy_16_bytes(target + stream * stride + k,
                           numbers + static_cast<int64_t>(stream) * plan.length + first + k);
      }
    }
  };
  Tile tile;
  bring(0);
  gpu::end_copy_group();
  for (int chunk = 0, first = 0; first < plan.length; ++chunk, first += plan.chunk) {
    if (first + plan.chunk < plan.length) bring(chunk + 1);
    gpu::end_copy_group();
    gpu::wait_for_all_but_one_copy_group();
    __syncthreads();
    const int count = min(plan.chunk, plan.length - first);
    if (place.busy) tile.multiply(plan, place, weights + first, chunks + chunk % 2 * chunk_size, count);
    __syncthreads();
  }
  if (place.busy) tile.store(plan, place, chunks);
  __syncthreads();
}

// The sums of one hidden unit, which shared memory gives at once.
template <class A, int ROWS>
struct alignas(ROWS * sizeof(A) < 16 ? ROWS * sizeof(A) : 16) Sums {
  A of[ROWS];
};

template <class Tile, class Steps>
__global__ void __launch_bounds__(THREADS, 1) recurrence(Steps steps, Plan plan, void* workspace) {
  using A = typename Steps::Sum;
  const int64_t N = steps.q.streams, H = steps.q.hidden;
  const int slice = blockIdx.x % plan.slices, group = blockIdx.x / plan.slices;
  const int64_t first_stream = static_cast<int64_t>(group) * plan.streams;
  const int streams = static_cast<int>(min(static_cast<int64_t>(plan.streams), N - first_stream));
  uint64_t* counter = static_cast<uint64_t*>(workspace) + group * (COUNTER_BYTES / sizeof(uint64_t));
  A* published = reinterpret_cast<A*>(static_cast<char*>(workspace) + plan.groups * COUNTER_BYTES);
  A* weights = static_cast<A*>(gpu::shared_memory());
  A* chunks = weights + plan.rows * (plan.length + Plan::padding<A>);

  steps.template load_weights<Tile>(plan, static_cast<int64_t>(slice) * plan.units, weights);

  // A thread's cells are one unit of every so many streams, the same at every step.
  const int unit_of_block = threadIdx.x % plan.units;
  const int64_t unit = static_cast<int64_t>(slice) * plan.units + unit_of_block;
  const int first = threadIdx.x / plan.units, stride = blockDim.x / plan.units, end = unit < H ? streams : 0;
  for (int64_t step = 0; step < steps.q.steps; ++step) {
    typename Steps::Inputs inputs;
    if (first < end) inputs = steps.inputs(step, first_stream + first, unit);
    if (step > 0) {
      if (threadIdx.x == 0) gpu::wait_for(counter, static_cast<uint64_t>(step) * plan.slices);
      __syncthreads();
      multiply<Tile>(plan, weights, published + ((step - 1) % 2 * N + first_stream) * plan.length, streams, chunks);
    }
    for (int stream = first; stream < end; stream += stride) {
      const int64_t n = first_stream + stream;
      const typename Steps::Inputs own_inputs = inputs;
      if (stream + stride < end) inputs = steps.inputs(step, n + stride, unit);  // on their way while these are used
      Sums<A, Steps::rows> sums{};
      if (step > 0) {
        for (int split = 0; split < plan.splits; ++split) {
          const A* part = chunks + (split * plan.padded_streams + stream) * (plan.rows + Plan::padding<A>);
          const auto own = reinterpret_cast<const Sums<A, Steps::rows>*>(part)[unit_of_block];
#pragma unroll
          for (int row = 0; row < Steps::rows; ++row) sums.of[row] += own.of[row];
        }
      }
      const auto next = steps.cell(step, n, unit, own_inputs, sums.of);
      if (step + 1 < steps.q.steps) {
        steps.publish(next, unit, published + (step % 2 * N + n) * plan.length,
                      [](A x, A& y) { y = Tile::operand(x); });
      }
    }
    __syncthreads();
    if (threadIdx.x == 0) gpu::arrive(counter);
  }
}

// One step of the other path, with a product made elsewhere: one thread per unit and stream.
template <class Steps, class A, class S>
__global__ void __launch_bounds__(THREADS) cells(Steps steps, int64_t step, const A* product, S* next) {
  const int64_t H = steps.q.hidden, index = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const int64_t n = index / H, unit = index % H;
  if (n >= steps.q.streams) return;
  A sums[Steps::rows] = {};
  if (product) {
#pragma unroll
    for (int row = 0; row < Steps::rows; ++row) sums[row] = product[(n * Steps::rows + row) * H + unit];
  }
  const auto own = steps.cell(step, n, unit, steps.inputs(step, n, unit), sums);
  if (next) steps.publish(own, unit, next + n * Steps::numbers * H, [](A x, S& y) { gpu::narrow(x, y); });
}

template <class Tile, class Steps>
cudaError_t start(const Steps& steps, const Plan& plan, void* workspace, cudaStream_t stream, int threads) {
  // The counters start at 0, and so does what pads the published numbers.
  const cudaError_t error = cudaMemsetAsync(workspace, 0, plan.workspace, stream);
  if (error != cudaSuccess) return error;
  return gpu::launch_together(recurrence<Tile, Steps>, static_cast<int64_t>(plan.slices) * plan.groups, threads,
                              plan.shared_memory, stream, steps, plan, workspace);
}

template <class Steps>
cudaError_t persistent(const Steps& steps, const Plan& plan, Product product, void* workspace, cudaStream_t stream,
                       int threads) {
  if constexpr (std::is_same_v<typename Steps::Stored, double>) {
    return start<FmaTile<double, Product::fma64, false>>(steps, plan, workspace, stream, threads);
  } else if constexpr (std::is_same_v<typename Steps::Stored, float>) {
    if (product == Product::fma32) {
      return plan.wide ? start<FmaTile<float, Product::fma32, true>>(steps, plan, workspace, stream, threads)
                       : start<FmaTile<float, Product::fma32, false>>(steps, plan, workspace, stream, threads);
    }
  }
  if constexpr (std::is_same_v<typename Steps::Sum, float>) {
    return plan.wide ? start<Tf32Tile<true>>(steps, plan, workspace, stream, threads)
                     : start<Tf32Tile<false>>(steps, plan, workspace, stream, threads);
  }
}

template <class Steps, class A, class S>
cudaError_t cell(const Steps& steps, int64_t step, const A* product, S* next, cudaStream_t stream) {
  const int64_t blocks = divide_up(steps.q.streams * steps.q.hidden, THREADS);
  return gpu::launch(cells<Steps, A, S>, blocks, THREADS, stream, steps, step, product, next);
}

}  // namespace

template <class S, class A>
cudaError_t forward_persistent(const Forward<S, A>& sequence, const Plan& plan, Product product, void* workspace,
                               cudaStream_t stream, int threads) {
  return persistent(ForwardSteps<S, A>{sequence}, plan, product, workspace, stream, threads);
}

template <class S, class A>
cudaError_t backward_persistent(const Backward<S, A>& sequence, const Plan& plan, Product product, void* workspace,
                                cudaStream_t stream, int threads) {
  return persistent(BackwardSteps<S, A>{sequence}, plan, product, workspace, stream, threads);
}

template <class S, class A>
cudaError_t forward_cell(const Forward<S, A>& sequence, int64_t step, const A* product, S* continued,
                         cudaStream_t stream) {
  return cell(ForwardSteps<S, A>{sequence}, step, product, continued, stream);
}

template <class S, class A>
cudaError_t backward_cell(const Backward<S, A>& sequence, int64_t step, const A* product, S* d_terms,
                          cudaStream_t stream) {
  return cell(BackwardSteps<S, A>{sequence}, step, product, d_terms, stream);
}

#define LRCN_INSTANTIATE(S, A)                                                                                     \
  template cudaError_t forward_persistent(const Forward<S, A>&, const Plan&, Product, void*, cudaStream_t, int);   \
  template cudaError_t backward_persistent(const Backward<S, A>&, const Plan&, Product, void*, cudaStream_t, int); \
  template cudaError_t forward_cell(const Forward<S, A>&, int64_t, const A*, S*, cudaStream_t);                    \
  template cudaError_t backward_cell(const Backward<S, A>&, int64_t, const A*, S*, cudaStream_t)

LRCN_INSTANTIATE(float, float);
LRCN_INSTANTIATE(double, double);
LRCN_INSTANTIATE(__half, float);
LRCN_INSTANTIATE(__nv_bfloat16, float);

}  // namespace lrcn::lstm
