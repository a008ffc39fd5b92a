// Optical flow on tensors: `torch.ops.lrcn.brox_flow`, on the CPU parallel over the pairs of images.
#include "flow_ops.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

namespace lrcn {
namespace {

Tensor checked(const Tensor& images, const char* name) {
  TORCH_CHECK(images.dim() == 4 && images.size(3) == 3 && images.size(1) > 0 && images.size(2) > 0, name,
              ": shape (N, height, width, 3) expected, ", images.sizes(), " given");
  TORCH_CHECK(images.scalar_type() == at::kByte, name, ": uint8 expected, ", images.scalar_type(), " given");
  return images.contiguous();
}

}  // namespace

Pairs::Pairs(const Tensor& previous_given, const Tensor& following_given)
    : previous(checked(previous_given, "previous")), following(checked(following_given, "following")) {
  TORCH_CHECK(previous.sizes() == following.sizes(), "following: shape ", previous.sizes(), " expected, ",
              following.sizes(), " given");
  TORCH_CHECK(previous.device() == following.device(), "following: device ", previous.device(),
              " expected, where previous is; ", following.device(), " given");
}

std::tuple<Tensor, Tensor> empty_results(const Pairs& pairs, int64_t warps) {
  const auto [height, width] = pairs.size();
  return {at::empty({pairs.count(), height, width, 2}, pairs.previous.options().dtype(at::kFloat)),
          at::empty({pairs.count(), warps, 2}, pairs.previous.options().dtype(at::kDouble))};
}

flow::BroxSettings checked_settings(double alpha, double gamma, double epsilon, double sigma, double eta,
                                    int64_t coarsest, int64_t outer_iterations, int64_t inner_iterations,
                                    int64_t sor_iterations, double omega) {
  TORCH_CHECK(alpha > 0 && gamma >= 0 && epsilon > 0, "alpha and epsilon above 0 and gamma of at least 0 expected, ",
              alpha, ", ", epsilon, " and ", gamma, " given");
  TORCH_CHECK(sigma >= 0 && sigma <= flow::LARGEST_SIGMA, "sigma of 0 to ", flow::LARGEST_SIGMA, " expected, ", sigma,
              " given");
  TORCH_CHECK(eta > 0 && eta < 1 && coarsest > 0, "eta between 0 and 1 and coarsest of at least 1 expected, ", eta,
              " and ", coarsest, " given");
  TORCH_CHECK(outer_iterations > 0 && inner_iterations > 0 && sor_iterations > 0,
              "at least 1 iteration of each kind expected");
  TORCH_CHECK(omega > 0 && omega < 2, "omega between 0 and 2 expected, ", omega, " given");
  return {alpha, gamma, epsilon, sigma, eta, coarsest, outer_iterations, inner_iterations, sor_iterations, omega};
}

namespace {

std::tuple<Tensor, Tensor> brox_flow_cpu(const Tensor& previous, const Tensor& following, double alpha, double gamma,
                                         double epsilon, double sigma, double eta, int64_t coarsest,
                                         int64_t outer_iterations, int64_t inner_iterations, int64_t sor_iterations,
                                         double omega) {
  const Pairs pairs(previous, following);
  const flow::BroxSettings settings = checked_settings(alpha, gamma, epsilon, sigma, eta, coarsest, outer_iterations,
                                                       inner_iterations, sor_iterations, omega);
  const flow::Size size = pairs.size();
  const int64_t pixels = size.height * size.width, warps = flow::warps(size, settings);
  const auto [result, energies] = empty_results(pairs, warps);
  const uint8_t *previous_values = pairs.previous.const_data_ptr<uint8_t>(),
                *following_values = pairs.following.const_data_ptr<uint8_t>();
  float* flow_values = result.mutable_data_ptr<float>();
  auto* energy_values = reinterpret_cast<flow::EnergyStep*>(energies.mutable_data_ptr<double>());
  at::parallel_for(0, pairs.count(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      flow::brox_flow(previous_values + n * pixels * 3, following_values + n * pixels * 3, size, settings,
                      flow_values + n * pixels * 2, energy_values + n * warps);
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

TORCH_LIBRARY_IMPL(lrcn, CPU, m) { m.impl("brox_flow", lrcn::brox_flow_cpu); }
