// The product of a block, in tiles: sums(row, stream) += weights(row, k) x(stream, k), all in shared memory. A tile
// belongs to one thread (plain multiply-add) or to one warp (tensor cores). Both have the same three functions.
#pragma once

#include "lstm/gpu.cuh"
#include "lstm/plan.h"

namespace lrcn::lstm {

// The tile of this thread, and the part of every chunk that it sums up.
struct Place {
  int row_tile, stream_tile, split;
  bool busy;  // there may be more threads than tiles

  __device__ Place(const Plan& plan, int threads_of_tile) {
    const int worker = threadIdx.x / threads_of_tile;
    row_tile = worker % plan.row_tiles;
    stream_tile = worker / plan.row_tiles % plan.stream_tiles;
    split = worker / (plan.row_tiles * plan.stream_tiles);
    busy = split < plan.splits;
  }
};

template <class A>
struct alignas(16) Vector {
  static constexpr int SIZE = 16 / sizeof(A);
  A values[SIZE];
};

// Row r of the tile is row_tile + r row_tiles of the block, and likewise the streams: neighbouring threads read
// neighbouring rows, which lie in different banks.
template <class A, Product PRODUCT, bool WIDE>
struct FmaTile {
  static constexpr Tile SHAPE = tile_of(PRODUCT, WIDE);
  A sums[SHAPE.rows][SHAPE.streams] = {};

  // What a number is rounded to before it is multiplied.
  __device__ static A operand(A x) { return x; }

  // `count` numbers of every row, of which `weights` and `x` are the first of row 0; a multiple of 8.
  __device__ void multiply(const Plan& plan, const Place& place, const A* weights, const A* x, int count) {
    const int weight_stride = plan.length + Plan::padding<A>, x_stride = plan.chunk + Plan::padding<A>;
    weights += place.row_tile * weight_stride;
    x += place.stream_tile * x_stride;
    for (int k = place.split * Vector<A>::SIZE; k < count; k += plan.splits * Vector<A>::SIZE) {
      Vector<A> w[SHAPE.rows];
#pragma unroll
      for (int r = 0; r < SHAPE.rows; ++r) {
        w[r] = *reinterpret_cast<const Vector<A>*>(weights + r * plan.row_tiles * weight_stride + k);
      }
#pragma unroll
      for (int s = 0; s < SHAPE.streams; ++s) {
        const Vector<A> v = *reinterpret_cast<const Vector<A>*>(x + s * plan.stream_tiles * x_stride + k);
#pragma unroll
        for (int r = 0; r < SHAPE.rows; ++r) {
#pragma unroll
          for (int i = 0; i < Vector<A>::SIZE; ++i) {
            sums[r][s] = gpu::multiply_add(w[r].values[i], v.values[i], sums[r][s]);
          }
        }
      }
    }
  }

  // Into parts (splits, padded_streams, rows + padding).
  __device__ void store(const Plan& plan, const Place& place, A* parts) const {
#pragma unroll
    for (int s = 0; s < SHAPE.streams; ++s) {
      const int stream = place.split * plan.padded_streams + place.stream_tile + s * plan.stream_tiles;
      A* part = parts + stream * (plan.rows + Plan::padding<A>)+place.row_tile;
#pragma unroll
      for (int r = 0; r < SHAPE.rows; ++r) part[r * plan.row_tiles] = sums[r][s];
    }
  }
};

// 16 streams by 8 rows at a time; here the rows of a tile lie together.
template <bool WIDE>
struct Tf32Tile {
  static constexpr Tile SHAPE = tile_of(Product::tf32, WIDE);
  static constexpr int ROWS = SHAPE.rows / 8, STREAMS = SHAPE.streams / 16;
  float sums[STREAMS][ROWS][4] = {};

  __device__ static float operand(float x) { return gpu::to_tf32(x); }

  __device__ void multiply(const Plan& plan, const Place& place, const float* weights, const float* x, int count) {
    const int weight_stride = plan.length + Plan::padding<float>, x_stride = plan.chunk + Plan::padding<float>;
    const int i = threadIdx.x % 32 / 4, j = threadIdx.x % 4;
    weights += (place.row_tile * SHAPE.rows + i) * weight_stride + j;
    x += (place.stream_tile * SHAPE.streams + i) * x_stride + j;
    for (int k = place.split * 8; k < count; k += plan.splits * 8) {
      float b[ROWS][2];
#pragma unroll
      for (int r = 0; r < ROWS; ++r) {
        const float* row = weights + r * 8 * weight_stride + k;
        b[r][0] = row[0];
        b[r][1] = row[4];
      }
#pragma unroll
      for (int s = 0; s < STREAMS; ++s) {
        const float *upper = x + s * 16 * x_stride + k, *lower = upper + 8 * x_stride;
        const float a[4] = {upper[0], lower[0], upper[4], lower[4]};
#pragma unroll
        for (int r = 0; r < ROWS; ++r) gpu::multiply_tf32(sums[s][r], a, b[r]);
      }
    }
  }

  __device__ void store(const Plan& plan, const Place& place, float* parts) const {
    const int i = threadIdx.x % 32 / 4, j = threadIdx.x % 4, stride = plan.rows + Plan::padding<float>;
    const int stream = place.split * plan.padded_streams + place.stream_tile * SHAPE.streams + i;
    float* part = parts + stream * stride + place.row_tile * SHAPE.rows + 2 * j;
#pragma unroll
    for (int s = 0; s < STREAMS; ++s) {
#pragma unroll
      for (int r = 0; r < ROWS; ++r) {
        float *upper = part + s * 16 * stride + r * 8, *lower = upper + 8 * stride;
        upper[0] = sums[s][r][0];
        upper[1] = sums[s][r][1];
        lower[0] = sums[s][r][2];
        lower[1] = sums[s][r][3];
      }
    }
  }
};

}  // namespace lrcn::lstm
