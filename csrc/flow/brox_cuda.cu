// The flow on a GPU, launch by launch. Whether a step is taken is decided on the GPU, for each pair by itself: the host
// never waits, and what a pair's flow is does not depend on the others.
#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "flow/brox_cuda.h"
#include "flow/brox_kernels.cuh"
#include "flow/pyramid.h"

namespace lrcn::flow {
namespace {

constexpr int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

class Stream {
public:
  explicit Stream(cudaStream_t stream) : stream_(stream) {}

  // A thread for each of width x height x images.
  template <class Kernel, class... Parameters>
  void run(Kernel* kernel, int64_t images, Size size, Parameters... parameters) {
    run_blocks(dim3(32, 8), kernel, images, size, parameters...);
  }

  template <class Kernel, class... Parameters>
  void run_blocks(dim3 block, Kernel* kernel, int64_t images, Size size, Parameters... parameters) {
    if (error != cudaSuccess) return;
    const dim3 blocks(static_cast<unsigned>(divide_up(size.width, block.x)),
                      static_cast<unsigned>(divide_up(size.height, block.y)), static_cast<unsigned>(images));
    error = gpu::launch(kernel, blocks, block, stream_, parameters...);
  }

  void fill_with_zeros(void* memory, int64_t bytes) {
    if (error == cudaSuccess) error = cudaMemsetAsync(memory, 0, bytes, stream_);
  }

  cudaError_t error = cudaSuccess;  // the first one; nothing is started after it

private:
  cudaStream_t stream_;
};

// Parts of the workspace, one after the other; counts their bytes where there is no memory yet.
class Workspace {
public:
  explicit Workspace(void* memory) : address_(reinterpret_cast<uintptr_t>(memory)) {}

  template <class Element>
  Element* take(int64_t count) {
    Element* const part = reinterpret_cast<Element*>(address_ + bytes);
    bytes += divide_up(count * sizeof(Element), 256) * 256;
    return part;
  }

  int64_t bytes = 0;

private:
  uintptr_t address_;
};

// Everything that the kernels need. All levels use the same memory, which holds the finest one.
struct Grids {
  int64_t pairs;
  std::vector<Images> bases;
  Channels *mixed, *parts[Jet::PARTS];
  float *flows[2], *solver, *squares, *taken;
  double* lane_sums;

  Grids(Workspace& workspace, int64_t pairs, const std::vector<Level>& levels) : pairs(pairs) {
    const Size finest = levels[0].size;
    const int64_t pixels = finest.height * finest.width;
    const int64_t padded = finest.height * (finest.width + 1);  // the odd columns take as much as the even ones
    const auto add_base = [&](Size size) {
      bases.push_back({workspace.take<Channels>(2 * pairs * size.height * size.width), size.height, size.width});
    };
    add_base(finest);
    for (const Level& level : levels) {
      if (level.is_base) add_base(level.size);
    }
    mixed = workspace.take<Channels>(2 * pairs * pixels);
    for (Channels*& part : parts) part = workspace.take<Channels>(2 * pairs * pixels);
    for (float*& flow : flows) flow = workspace.take<float>(FLOW_PLANES * pairs * padded);
    solver = workspace.take<float>(SOLVER_PLANES * pairs * padded);
    squares = workspace.take<float>(TERMS * pairs * pixels);
    lane_sums = workspace.take<double>(TERMS * pairs * finest.height * LANES);
    taken = workspace.take<float>(pairs);
  }

  Planes planes(float* values, Size size) const {
    return {values, pairs * size.height * 2 * ((size.width + 1) / 2), size.height, size.width};
  }
};

class Brox {
public:
  Brox(const BroxSettings& settings, std::vector<Level> levels, Grids grids, Stream& stream)
      : settings_(settings), levels_(std::move(levels)), grids_(std::move(grids)), stream_(stream) {
    const std::vector<float> weights = settings.sigma > 0 ? half_gaussian(settings.sigma) : std::vector<float>{1.0f};
    gaussian_.radius = static_cast<int64_t>(weights.size()) - 1;
    std::copy(weights.begin(), weights.end(), gaussian_.weights);
  }

  void make_bases(const uint8_t* previous, const uint8_t* following) {
    const std::vector<Images>& bases = grids_.bases;
    stream_.run(unpack, 2 * grids_.pairs, levels_[0].size, previous, following, grids_.pairs, bases[0]);
    for (size_t base = 1; base < bases.size(); ++base) reduce(bases[base - 1], bases[base]);
  }

  // Improves the flow of the next coarser level, if there is one, into that of this level. steps: of the level's first
  // warp, `stride` entries apart.
  void run_level(size_t number, EnergyStep* steps, int64_t stride) {
    const Size size = levels_[number].size;
    const Planes flow = flow_of(number);
    if (number + 1 == levels_.size()) {
      stream_.fill_with_zeros(flow.values, FLOW_PLANES * flow.plane_size * sizeof(float));
    } else {
      const Planes coarser = flow_of(number + 1);
      stream_.run(resize, grids_.pairs, size, coarser, flow, static_cast<float>(size.width) / coarser.width,
                  static_cast<float>(size.height) / coarser.height);
    }
    const JetImages jets = make_jets(number);
    for (int64_t outer = 0; outer < settings_.outer_iterations; ++outer) warp(jets, flow, steps + outer, stride);
  }

  void give_result(float* result) { stream_.run(interleave, grids_.pairs, levels_[0].size, flow_of(0), result); }

private:
  Planes flow_of(size_t level) const { return grids_.planes(grids_.flows[level % 2], levels_[level].size); }

  void reduce(const Images& from, const Images& result) {
    const Images mixed = {grids_.mixed, result.height, from.width};
    stream_.run(reduce_rows, 2 * grids_.pairs, {mixed.height, mixed.width}, from, mixed,
                samples_of_area(from.height, result.height));
    stream_.run(reduce_columns, 2 * grids_.pairs, {result.height, result.width}, mixed, result,
                samples_of_area(from.width, result.width));
  }

  JetImages make_jets(size_t number) {
    const auto [height, width] = levels_[number].size;
    JetImages jets;
    for (int part = 0; part < Jet::PARTS; ++part) jets.part[part] = {grids_.parts[part], height, width};
    const Images &value = jets.part[Jet::VALUE], mixed = {grids_.mixed, height, width};
    const auto run = [&, size = levels_[number].size](auto* kernel, const auto&... parameters) {
      stream_.run(kernel, 2 * grids_.pairs, size, parameters...);
    };
    reduce(grids_.bases[levels_[number].source], value);
    if (settings_.sigma > 0) {
      run(smooth_down, value, mixed, gaussian_);
      run(smooth_across, mixed, value, gaussian_);
    }
    run(differentiate_once, jets);
    run(differentiate_twice, jets);
    return jets;
  }

  void warp(const JetImages& jets, const Planes& flow, EnergyStep* steps, int64_t stride) {
    const int64_t pairs = grids_.pairs;
    const Size size = {flow.height, flow.width};
    const Planes solver = grids_.planes(grids_.solver, size);
    const Energy energy = {grids_.squares, grids_.lane_sums, pairs, size.height, size.width};
    const float gamma = static_cast<float>(settings_.gamma), epsilon = static_cast<float>(settings_.epsilon);
    const float alpha = static_cast<float>(settings_.alpha), omega = static_cast<float>(settings_.omega);
    float* const taken = grids_.taken;
    const auto run = [&](auto* kernel, const auto&... parameters) { stream_.run(kernel, pairs, size, parameters...); };
    const auto sum_rows = [&](const float* taken) {
      stream_.run_blocks(dim3(LANES, 32), sum_lanes, pairs, {size.height, LANES}, energy, epsilon * epsilon, taken);
    };
    const auto for_pairs = [&](auto* kernel, auto... parameters) {
      stream_.run_blocks(dim3(32), kernel, 1, {1, pairs}, energy, settings_.alpha, parameters..., steps, stride, taken);
    };

    run(linearise, jets, pairs, flow, gamma, solver, energy);
    sum_rows(nullptr);
    for_pairs(begin_warp);
    for (int64_t inner = 0; inner < settings_.inner_iterations; ++inner) {
      run(weigh_smoothness, flow, solver, alpha, epsilon * epsilon);
      run(assemble, flow, solver, epsilon * epsilon);
      for (int64_t pass = 0; pass < 2 * settings_.sor_iterations; ++pass) {
        stream_.run(relax_colour, pairs, {size.height, divide_up(size.width, 2)}, solver, pass % 2, omega);
      }
    }
    for (float part = 1.0f; part >= SMALLEST_PART; part *= 0.5f) {
      run(try_part, jets, pairs, flow, solver, gamma, part, taken, energy);
      sum_rows(taken);
      for_pairs(judge, part);
    }
    run(advance, flow, solver, taken);
  }

  const BroxSettings settings_;
  const std::vector<Level> levels_;
  const Grids grids_;
  Stream& stream_;
  Gaussian gaussian_;
};

}  // namespace

int64_t brox_workspace(int64_t pairs, Size size, const BroxSettings& settings) {
  Workspace workspace(nullptr);
  Grids(workspace, pairs, levels_of(size, settings.eta, settings.coarsest));
  return workspace.bytes;
}

cudaError_t brox_flow_cuda(const uint8_t* previous, const uint8_t* following, int64_t pairs, Size size,
                           const BroxSettings& settings, float* flow, EnergyStep* energies, void* workspace,
                           cudaStream_t stream) {
  const std::vector<Level> levels = levels_of(size, settings.eta, settings.coarsest);
  const int64_t warps = static_cast<int64_t>(levels.size()) * settings.outer_iterations;
  Workspace parts(workspace);
  Stream work(stream);
  Brox brox(settings, levels, Grids(parts, pairs, levels), work);
  brox.make_bases(previous, following);
  for (size_t level = levels.size(); level-- > 0; energies += settings.outer_iterations) {
    brox.run_level(level, energies, warps);
  }
  brox.give_result(flow);
  return work.error;
}

}  // namespace lrcn::flow
