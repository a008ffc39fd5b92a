// Optical flow on tensors: `torch.ops.lrcn.brox_flow`, parallel over the pairs of images.
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <tuple>
#include <vector>

#include "flow/brox.h"

namespace lrcn {
namespace {

using at::Tensor;

// Pairs of images (N, height, width, 3) uint8.
struct Pairs {
  Pairs(const Tensor& previous_given, const Tensor& following_given)
      : previous(checked(previous_given, "previous")), following(checked(following_given, "following")) {
    TORCH_CHECK(previous.sizes() == following.sizes(), "following: shape ", previous.sizes(), " expected, ",
                following.sizes(), " given");
  }

  int64_t count() const { return previous.size(0); }
  flow::Size size() const { return {previous.size(1), previous.size(2)}; }

  // The flow of pair n and the energies of its warps.
  void compute(int64_t n, const flow::BroxSettings& settings, float* result, flow::EnergyStep* energies) const {
    const int64_t offset = n * size().height * size().width * 3;
    flow::brox_flow(previous.const_data_ptr<uint8_t>() + offset, following.const_data_ptr<uint8_t>() + offset, size(),
                    settings, result, energies);
  }

  Tensor previous, following;

private:
  static Tensor checked(const Tensor& images, const char* name) {
    TORCH_CHECK(images.dim() == 4 && images.size(3) == 3 && images.size(1) > 0 && images.size(2) > 0, name,
                ": shape (N, height, width, 3) expected, ", images.sizes(), " given");
    TORCH_CHECK(images.scalar_type() == at::kByte, name, ": uint8 expected, ", images.scalar_type(), " given");
    return images.contiguous();
  }
};

flow::BroxSettings checked_settings(double alpha, double gamma, double epsilon, double sigma, double eta,
                                    int64_t coarsest, int64_t outer_iterations, int64_t inner_iterations,
                                    int64_t sor_iterations, double omega) {
  TORCH_CHECK(alpha > 0 && gamma >= 0 && epsilon > 0 && sigma >= 0, "alpha and epsilon above 0 expected, ", alpha,
              " and ", epsilon, " given, gamma and sigma of at least 0, ", gamma, " and ", sigma, " given");
  TORCH_CHECK(eta > 0 && eta < 1 && coarsest > 0, "eta between 0 and 1 and coarsest of at least 1 expected, ", eta,
              " and ", coarsest, " given");
  TORCH_CHECK(outer_iterations > 0 && inner_iterations > 0 && sor_iterations > 0,
              "at least 1 iteration of each kind expected");
  TORCH_CHECK(omega > 0 && omega < 2, "omega between 0 and 2 expected, ", omega, " given");
  return {alpha, gamma, epsilon, sigma, eta, coarsest, outer_iterations, inner_iterations, sor_iterations, omega};
}

std::tuple<Tensor, Tensor> brox_flow(const Tensor& previous, const Tensor& following, double alpha, double gamma,
                                     double epsilon, double sigma, double eta, int64_t coarsest,
                                     int64_t outer_iterations, int64_t inner_iterations, int64_t sor_iterations,
                                     double omega) {
  const Pairs pairs(previous, following);
  const flow::BroxSettings settings = checked_settings(alpha, gamma, epsilon, sigma, eta, coarsest, outer_iterations,
                                                       inner_iterations, sor_iterations, omega);
  const flow::Size size = pairs.size();
  const int64_t warps = flow::warps(size, settings);
  Tensor result = at::empty({pairs.count(), size.height, size.width, 2}, at::kFloat);
  Tensor energies = at::empty({pairs.count(), warps, 2}, at::kDouble);
  float* flow_values = result.mutable_data_ptr<float>();
  double* energy_values = energies.mutable_data_ptr<double>();
  at::parallel_for(0, pairs.count(), 1, [&](int64_t begin, int64_t end) {
    std::vector<flow::EnergyStep> steps(warps);
    for (int64_t n = begin; n < end; ++n) {
      pairs.compute(n, settings, flow_values + n * size.height * size.width * 2, steps.data());
      for (int64_t warp = 0; warp < warps; ++warp) {
        energy_values[2 * (n * warps + warp)] = steps[warp].before;
        energy_values[2 * (n * warps + warp) + 1] = steps[warp].after;
      }
    }
  });
  return {result, energies};
}

}  // namespace
}  // namespace lrcn

TORCH_LIBRARY_FRAGMENT(lrcn, m) {
  m.def(
      "brox_flow(Tensor previous, Tensor following, float alpha, float gamma, float epsilon, float sigma, float eta,"
      " int coarsest, int outer_iterations, int inner_iterations, int sor_iterations, float omega)"
      " -> (Tensor flow, Tensor energies)");
}

TORCH_LIBRARY_IMPL(lrcn, CPU, m) { m.impl("brox_flow", lrcn::brox_flow); }
