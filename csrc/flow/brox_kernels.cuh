// The passes of the flow over the pixels, as the CPU makes them, with a thread for each pixel of all pairs of images. A
// thread writes its own pixel only, and no kernel reads elsewhere what it writes: in the solver, because the colours of
// the checkerboard take turns. Sums of energies have the CPU's order.
#pragma once

#include <cstdint>

#include "flow/arithmetic.h"
#include "flow/brox_cuda.h"
#include "launch.cuh"

namespace lrcn::flow {
namespace {

// ---- What the kernels work on

// A Pixel for device code, which knows no vectors.
struct alignas(16) Channels {
  float values[4];
  __device__ float operator[](int channel) const { return values[channel]; }
};

LRCN_INLINE Channels operator+(const Channels& a, const Channels& b) {
  return {a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]};
}
LRCN_INLINE Channels operator-(const Channels& a, const Channels& b) {
  return {a[0] - b[0], a[1] - b[1], a[2] - b[2], a[3] - b[3]};
}
LRCN_INLINE Channels operator*(const Channels& a, const Channels& b) {
  return {a[0] * b[0], a[1] * b[1], a[2] * b[2], a[3] * b[3]};
}
LRCN_INLINE Channels operator*(float a, const Channels& b) { return {a * b[0], a * b[1], a * b[2], a * b[3]}; }
LRCN_INLINE Channels& operator+=(Channels& a, const Channels& b) { return a = a + b; }

using Jet = JetOf<Channels>;

// The pixel of a thread. There are threads beyond the edges, which have none.
struct Site {
  int64_t image, y, x;
  __device__ bool is_on(int64_t height, int64_t width) const { return y < height && x < width; }
};

__device__ inline Site this_site() {
  return {blockIdx.z, static_cast<int64_t>(blockIdx.y) * blockDim.y + threadIdx.y,
          static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x};
}

LRCN_INLINE int64_t within(int64_t x, int64_t size) { return x < 0 ? 0 : (x < size ? x : size - 1); }

// Images of one size. Beyond its edges an image goes on with its outermost pixels.
struct Images {
  Channels* pixels;
  int64_t height, width;

  __device__ Channels& at(const Site& site) const { return pixels[(site.image * height + site.y) * width + site.x]; }
  // So many rows and columns further.
  __device__ const Channels& from(const Site& site, int64_t rows, int64_t columns) const {
    return at({site.image, within(site.y + rows, height), within(site.x + columns, width)});
  }
};

struct JetImages {
  Images part[Jet::PARTS];
};

// Planes of numbers, one at each pixel of each pair. A row holds the even columns, then the odd ones: pixels of one
// colour of a checkerboard, and their neighbours to one side, lie side by side.
struct Planes {
  float* values;
  int64_t plane_size, height, width;

  __device__ int64_t index(const Site& site) const {
    return ((site.image * height + site.y) * 2 + (site.x & 1)) * ((width + 1) / 2) + site.x / 2;
  }
  // Of the neighbours; beyond the edges, of the pixel itself.
  __device__ Around<int64_t> around(const Site& site) const {
    const auto [pair, y, x] = site;
    return {index({pair, y, within(x - 1, width)}), index({pair, y, within(x + 1, width)}),
            index({pair, within(y - 1, height), x}), index({pair, within(y + 1, height), x})};
  }
  __device__ float& at(int64_t plane, int64_t index) const { return values[plane * plane_size + index]; }
  __device__ Around<float> at(int64_t plane, const Around<int64_t>& index) const {
    return {at(plane, index.left), at(plane, index.right), at(plane, index.up), at(plane, index.down)};
  }
};

enum FlowPlane { U, V, FLOW_PLANES };
enum SolverPlane {
  DU,
  DV,
  TENSOR,  // the entries of J
  SMOOTHNESS = TENSOR + ENTRIES,
  EDGE_RIGHT,
  EDGE_DOWN,
  INVERSE_XX,
  INVERSE_XY,
  INVERSE_YY,
  RIGHT_X,
  RIGHT_Y,
  SOLVER_PLANES
};

// The two terms of the energy: what the robust function is of, at each pixel, and its sum by rows and lanes.
enum Term { DATA, SMOOTH, TERMS };
struct Energy {
  float* squares;     // (TERMS, pairs, height, width)
  double* lane_sums;  // (TERMS, pairs, height, LANES)
  int64_t pairs, height, width;

  __device__ int64_t row(int term, int64_t pair, int64_t y) const { return (term * pairs + pair) * height + y; }
  __device__ float& square(int term, const Site& site) const {
    return squares[row(term, site.image, site.y) * width + site.x];
  }
};

struct Gaussian {
  static constexpr int64_t MOST_WEIGHTS = static_cast<int64_t>(3.0 * LARGEST_SIGMA) + 2;
  int64_t radius;
  float weights[MOST_WEIGHTS];
};

// ---- The pyramid: of the previous images of all pairs, then of the following ones

__global__ void unpack(const uint8_t* previous, const uint8_t* following, int64_t pairs, Images result) {
  const Site site = this_site();
  if (!site.is_on(result.height, result.width)) return;
  const uint8_t* images = site.image < pairs ? previous : following;
  const uint8_t* bytes = images + ((site.image % pairs * result.height + site.y) * result.width + site.x) * 3;
  result.at(site) = {static_cast<float>(bytes[0]), static_cast<float>(bytes[1]), static_cast<float>(bytes[2]), 0.0f};
}

__global__ void reduce_rows(Images from, Images result, int64_t samples) {
  const Site site = this_site();
  if (!site.is_on(result.height, result.width)) return;
  const Area rows = area(from.height, result.height, samples, site.y);
  result.at(site) = weighted_sum(
      samples, [&](int64_t k) { return area_weight(rows, k); },
      [&](int64_t k) { return from.at({site.image, rows.first + k, site.x}); });
}

__global__ void reduce_columns(Images from, Images result, int64_t samples) {
  const Site site = this_site();
  if (!site.is_on(result.height, result.width)) return;
  const Area columns = area(from.width, result.width, samples, site.x);
  result.at(site) = weighted_sum(
      samples, [&](int64_t k) { return area_weight(columns, k); },
      [&](int64_t k) { return from.at({site.image, site.y, columns.first + k}); });
}

__global__ void smooth_down(Images from, Images result, const __grid_constant__ Gaussian gaussian) {
  const Site site = this_site();
  if (!site.is_on(result.height, result.width)) return;
  result.at(site) = symmetric_sum(gaussian.radius, gaussian.weights, [&](int64_t k) { return from.from(site, k, 0); });
}

__global__ void smooth_across(Images from, Images result, const __grid_constant__ Gaussian gaussian) {
  const Site site = this_site();
  if (!site.is_on(result.height, result.width)) return;
  result.at(site) = symmetric_sum(gaussian.radius, gaussian.weights, [&](int64_t k) { return from.from(site, 0, k); });
}

__device__ inline Channels along_x(const Images& image, const Site& site) {
  return difference(image.from(site, 0, -2), image.from(site, 0, -1), image.from(site, 0, 1), image.from(site, 0, 2));
}

__device__ inline Channels along_y(const Images& image, const Site& site) {
  return difference(image.from(site, -2, 0), image.from(site, -1, 0), image.from(site, 1, 0), image.from(site, 2, 0));
}

__global__ void differentiate_once(JetImages jets) {
  const Site site = this_site();
  const Images& value = jets.part[Jet::VALUE];
  if (!site.is_on(value.height, value.width)) return;
  jets.part[Jet::X].at(site) = along_x(value, site);
  jets.part[Jet::Y].at(site) = along_y(value, site);
}

__global__ void differentiate_twice(JetImages jets) {
  const Site site = this_site();
  const Images &along = jets.part[Jet::X], &down = jets.part[Jet::Y];
  if (!site.is_on(along.height, along.width)) return;
  jets.part[Jet::XX].at(site) = along_x(along, site);
  jets.part[Jet::XY].at(site) = along_y(along, site);
  jets.part[Jet::YY].at(site) = along_y(down, site);
}

// ---- The flow of a level, and its energy

__global__ void resize(Planes from, Planes result, float scale_x, float scale_y) {
  const Site site = this_site();
  if (!site.is_on(result.height, result.width)) return;
  const Between row = between(from.height, result.height, site.y);
  const Between column = between(from.width, result.width, site.x);
  const int64_t next_row = within(row.first + 1, from.height), next_column = within(column.first + 1, from.width);
  const auto mean = [](const Between& place, float first, float next) {
    return (1.0f - place.fraction) * first + place.fraction * next;
  };
  for (int plane = 0; plane < FLOW_PLANES; ++plane) {
    const auto at = [&](int64_t y, int64_t x) { return from.at(plane, from.index({site.image, y, x})); };
    const float left = mean(row, at(row.first, column.first), at(next_row, column.first));
    const float right = mean(row, at(row.first, next_column), at(next_row, next_column));
    result.at(plane, result.index(site)) = mean(column, left, right) * (plane == U ? scale_x : scale_y);
  }
}

__device__ inline Jet jet_at(const JetImages& jets, const Site& site) {
  Jet result;
  for (int part = 0; part < Jet::PARTS; ++part) result.part[part] = jets.part[part].at(site);
  return result;
}

// The first `parts` parts of the jet that a flow leads to.
template <int parts>
__device__ inline Jet jet_at(const JetImages& jets, int64_t number, const Target& target) {
  const Images& image = jets.part[0];
  int64_t rows[4], columns[4];
  for (int k = 0; k < 4; ++k) {
    rows[k] = (number * image.height + within(target.row - 1 + k, image.height)) * image.width;
    columns[k] = within(target.column - 1 + k, image.width);
  }
  Jet result;
  for (int part = 0; part < parts; ++part) {
    const Channels* pixels = jets.part[part].pixels;
    interpolate(
        target, [&](int64_t k, int64_t l, Channels& sample) { sample = pixels[rows[k] + columns[l]]; },
        result.part[part]);
  }
  return result;
}

// |grad u|^2 + |grad v|^2: the mean over both sides of the pixel.
__device__ inline float smoothness_square(float u, const Around<float>& u_around, float v,
                                          const Around<float>& v_around) {
  return 0.5f * (squared_gradient(u, u_around) + squared_gradient(v, v_around));
}

// The data term around the flow, the energy of that flow, and an increment of 0.
__global__ void linearise(JetImages jets, int64_t pairs, Planes flow, float gamma, Planes solver, Energy energy) {
  const Site site = this_site();
  if (!site.is_on(flow.height, flow.width)) return;
  const int64_t here = flow.index(site);
  const Around<int64_t> around = flow.around(site);
  const float u = flow.at(U, here), v = flow.at(V, here);
  const Target place = target(flow.height, flow.width, site.y, site.x, u, v);
  float j[ENTRIES];
  data_tensor(jet_at(jets, site), jet_at<Jet::PARTS>(jets, pairs + site.image, place), gamma, place.inside, j);
  for (int entry = 0; entry < ENTRIES; ++entry) solver.at(TENSOR + entry, here) = j[entry];
  solver.at(DU, here) = 0.0f;
  solver.at(DV, here) = 0.0f;
  energy.square(DATA, site) = j[TT];
  energy.square(SMOOTH, site) = smoothness_square(u, flow.at(U, around), v, flow.at(V, around));
}

// The energy of the flow with a part of the increment, of pairs that have taken none yet.
__global__ void try_part(JetImages jets, int64_t pairs, Planes flow, Planes solver, float gamma, float part,
                         const float* taken, Energy energy) {
  const Site site = this_site();
  if (!site.is_on(flow.height, flow.width) || taken[site.image] != 0.0f) return;
  const auto moved = [&](int plane, int64_t index) {
    return flow.at(plane, index) + part * solver.at(DU + plane, index);
  };
  const auto all_moved = [&](int plane, const Around<int64_t>& index) {
    return Around<float>{moved(plane, index.left), moved(plane, index.right), moved(plane, index.up),
                         moved(plane, index.down)};
  };
  const int64_t here = flow.index(site);
  const Around<int64_t> around = flow.around(site);
  const float u = moved(U, here), v = moved(V, here);
  const Target place = target(flow.height, flow.width, site.y, site.x, u, v);
  energy.square(DATA, site) =
      data_square(jet_at(jets, site), jet_at<Jet::Y + 1>(jets, pairs + site.image, place), gamma, place.inside);
  energy.square(SMOOTH, site) = smoothness_square(u, all_moved(U, around), v, all_moved(V, around));
}

// A thread for every lane (x) of every row. taken: as for try_part, or null for all pairs.
__global__ void sum_lanes(Energy energy, float epsilon_squared, const float* taken) {
  const auto [pair, y, lane] = this_site();
  if (y >= energy.height || (taken && taken[pair] != 0.0f)) return;
  for (int term = 0; term < TERMS; ++term) {
    double sum = 0.0;
    for (int64_t x = lane; x < energy.width; x += LANES) {
      sum += robust(energy.square(term, {pair, y, x}), epsilon_squared);
    }
    energy.lane_sums[energy.row(term, pair, y) * LANES + lane] = sum;
  }
}

__device__ inline double total(const Energy& energy, int64_t pair, double alpha) {
  double totals[TERMS];
  for (int term = 0; term < TERMS; ++term) {
    totals[term] = 0.0;
    for (int64_t y = 0; y < energy.height; ++y) {
      const double* lanes = energy.lane_sums + energy.row(term, pair, y) * LANES;
      double sum = 0.0;
      for (int64_t lane = 0; lane < LANES; ++lane) sum += lanes[lane];
      totals[term] += sum;
    }
  }
  return totals[DATA] + alpha * totals[SMOOTH];
}

// A thread for every pair, here and in the next kernel. steps: of this warp, `stride` entries apart; taken: which part
// of the increment each pair has taken, 0 for none.
__global__ void begin_warp(Energy energy, double alpha, EnergyStep* steps, int64_t stride, float* taken) {
  const int64_t pair = this_site().x;
  if (pair >= energy.pairs) return;
  const double before = total(energy, pair, alpha);
  steps[pair * stride] = {before, before};
  taken[pair] = 0.0f;
}

__global__ void judge(Energy energy, double alpha, float part, EnergyStep* steps, int64_t stride, float* taken) {
  const int64_t pair = this_site().x;
  if (pair >= energy.pairs || taken[pair] != 0.0f) return;
  const double reached = total(energy, pair, alpha);
  if (reached > steps[pair * stride].before) return;
  steps[pair * stride].after = reached;
  taken[pair] = part;
}

__global__ void advance(Planes flow, Planes solver, const float* taken) {
  const Site site = this_site();
  if (!site.is_on(flow.height, flow.width) || taken[site.image] == 0.0f) return;
  const int64_t here = flow.index(site);
  for (int plane = 0; plane < FLOW_PLANES; ++plane) {
    flow.at(plane, here) += taken[site.image] * solver.at(DU + plane, here);
  }
}

__global__ void interleave(Planes flow, float* result) {
  const Site site = this_site();
  if (!site.is_on(flow.height, flow.width)) return;
  const int64_t here = flow.index(site);
  for (int plane = 0; plane < FLOW_PLANES; ++plane) {
    result[((site.image * flow.height + site.y) * flow.width + site.x) * FLOW_PLANES + plane] = flow.at(plane, here);
  }
}

// ---- The solver

__global__ void weigh_smoothness(Planes flow, Planes solver, float alpha, float epsilon_squared) {
  const Site site = this_site();
  if (!site.is_on(flow.height, flow.width)) return;
  const auto square = [&](int64_t first, int64_t next) {
    return squared_difference(flow.at(U, first), flow.at(V, first), solver.at(DU, first), solver.at(DV, first),
                              flow.at(U, next), flow.at(V, next), solver.at(DU, next), solver.at(DV, next));
  };
  const int64_t here = flow.index(site);
  const Around<int64_t> around = flow.around(site);
  // Beyond the edges, where the next pixel is the pixel itself, this is 0.
  const Edges squares = {square(around.left, here), square(here, around.right), square(around.up, here),
                         square(here, around.down)};
  solver.at(SMOOTHNESS, here) = smoothness_weight(alpha, epsilon_squared, squares);
}

__global__ void assemble(Planes flow, Planes solver, float epsilon_squared) {
  const Site site = this_site();
  if (!site.is_on(flow.height, flow.width)) return;
  const int64_t here = flow.index(site);
  const Around<int64_t> around = flow.around(site);
  const float weight = solver.at(SMOOTHNESS, here);
  const Around<float> next = solver.at(SMOOTHNESS, around);
  const Edges edges = {site.x > 0 ? edge_weight(next.left, weight) : 0.0f,
                       site.x + 1 < flow.width ? edge_weight(weight, next.right) : 0.0f,
                       site.y > 0 ? edge_weight(next.up, weight) : 0.0f,
                       site.y + 1 < flow.height ? edge_weight(weight, next.down) : 0.0f};
  float j[ENTRIES];
  for (int entry = 0; entry < ENTRIES; ++entry) j[entry] = solver.at(TENSOR + entry, here);
  const Equations equations = assembled(epsilon_squared, edges, flow.at(U, here), flow.at(U, around), flow.at(V, here),
                                        flow.at(V, around), solver.at(DU, here), solver.at(DV, here), j);
  solver.at(EDGE_RIGHT, here) = edges.right;
  solver.at(EDGE_DOWN, here) = edges.down;
  solver.at(INVERSE_XX, here) = equations.inverse_xx;
  solver.at(INVERSE_XY, here) = equations.inverse_xy;
  solver.at(INVERSE_YY, here) = equations.inverse_yy;
  solver.at(RIGHT_X, here) = equations.right_x;
  solver.at(RIGHT_Y, here) = equations.right_y;
}

// A thread for every pixel of one colour: x is its place among those of its row.
__global__ void relax_colour(Planes solver, int64_t colour, float omega) {
  Site site = this_site();
  site.x = 2 * site.x + (site.y + colour) % 2;
  if (!site.is_on(solver.height, solver.width)) return;
  const int64_t here = solver.index(site);
  const Around<int64_t> around = solver.around(site);
  const Edges edges = {site.x > 0 ? solver.at(EDGE_RIGHT, around.left) : 0.0f, solver.at(EDGE_RIGHT, here),
                       site.y > 0 ? solver.at(EDGE_DOWN, around.up) : 0.0f, solver.at(EDGE_DOWN, here)};
  const Equations equations = {solver.at(INVERSE_XX, here), solver.at(INVERSE_XY, here), solver.at(INVERSE_YY, here),
                               solver.at(RIGHT_X, here), solver.at(RIGHT_Y, here)};
  relax(omega, edges, solver.at(DU, around), solver.at(DV, around), equations, solver.at(DU, here),
        solver.at(DV, here));
}

}  // namespace
}  // namespace lrcn::flow
