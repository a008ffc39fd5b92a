#include "flow/brox.h"

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "flow/data_term.h"
#include "flow/energy.h"
#include "flow/jet.h"
#include "flow/pyramid.h"
#include "flow/relaxation.h"

namespace lrcn::flow {

namespace {

// What the grids of a level take: four jets and images of each frame; six planes of data and 17 of the solver per warp.
constexpr size_t BYTES_PER_PIXEL = 2 * (sizeof(Jet) + 4 * sizeof(Pixel)) + 23 * sizeof(float);

}  // namespace

int64_t warps(Size size, const BroxSettings& settings) {
  return static_cast<int64_t>(levels_of(size, settings.eta, settings.coarsest).size()) * settings.outer_iterations;
}

void brox_flow(const uint8_t* previous, const uint8_t* following, Size size, const BroxSettings& settings, float* flow,
               EnergyStep* energies) {
  const std::vector<Level> levels = levels_of(size, settings.eta, settings.coarsest);
  const Pyramid first(previous, levels, settings.sigma), second(following, levels, settings.sigma);
  const float alpha = static_cast<float>(settings.alpha), epsilon = static_cast<float>(settings.epsilon);
  const float gamma = static_cast<float>(settings.gamma), omega = static_cast<float>(settings.omega);

  // All levels use the same memory in turn, as much as the finest one needs.
  const size_t bytes = BYTES_PER_PIXEL * (size.height + MARGIN) * (size.width + 2 * MARGIN);
  const std::unique_ptr<std::byte[]> buffer(new std::byte[bytes]);

  Image current(levels.back().size);
  for (int64_t y = 0; y < current.height; ++y) std::fill_n(current.row(y), current.width, Pixel{});
  for (size_t level = levels.size(); level-- > 0;) {
    std::pmr::monotonic_buffer_resource memory(buffer.get(), bytes);
    Image previous_image = first.level(level, &memory), following_image = second.level(level, &memory);
    const Jets previous_jets = differentiate(previous_image, &memory),
               following_jets = differentiate(following_image, &memory);
    current = resize_flow(current, levels[level].size);
    for (int64_t outer = 0; outer < settings.outer_iterations; ++outer) {
      const DataTerm data = linearise(previous_jets, following_jets, current, gamma, epsilon, &memory);
      const double before = data.energy + settings.alpha * smoothness_energy(current, epsilon);
      Increment increment(data.tensor, current, &memory);
      for (int64_t inner = 0; inner < settings.inner_iterations; ++inner) {
        increment.iterate(alpha, epsilon, settings.sor_iterations, omega);
      }
      // The increment minimises a linearised energy. Where it leads too far for that, a part of the way is taken.
      double after = before;
      for (float part = 1.0f; part >= SMALLEST_PART; part *= 0.5f) {
        Image moved = current;
        increment.add_to(moved, part);
        const double reached = data_energy(previous_jets, following_jets, moved, gamma, epsilon) +
                               settings.alpha * smoothness_energy(moved, epsilon);
        if (reached > before) continue;
        current = std::move(moved);
        after = reached;
        break;
      }
      *energies++ = {before, after};
    }
  }
  for (int64_t y = 0; y < size.height; ++y) {
    for (int64_t x = 0; x < size.width; ++x) {
      *flow++ = current.row(y)[x][0];
      *flow++ = current.row(y)[x][1];
    }
  }
}

}  // namespace lrcn::flow
