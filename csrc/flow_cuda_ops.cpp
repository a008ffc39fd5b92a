// Optical flow on CUDA tensors, all pairs at once; compiled only where torch and the compiler know CUDA.
#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#include "flow/brox_cuda.h"
#include "flow_ops.h"

namespace lrcn {
namespace {

std::tuple<Tensor, Tensor> brox_flow_cuda(const Tensor& previous, const Tensor& following, double alpha, double gamma,
                                          double epsilon, double sigma, double eta, int64_t coarsest,
                                          int64_t outer_iterations, int64_t inner_iterations, int64_t sor_iterations,
                                          double omega) {
  const c10::cuda::CUDAGuard guard(previous.device());
  const Pairs pairs(previous, following);
  const flow::BroxSettings settings = checked_settings(alpha, gamma, epsilon, sigma, eta, coarsest, outer_iterations,
                                                       inner_iterations, sor_iterations, omega);
  const flow::Size size = pairs.size();
  TORCH_CHECK(pairs.count() <= flow::MOST_PAIRS && size.height <= flow::MOST_ROWS, "previous: at most ",
              flow::MOST_PAIRS, " pairs of at most ", flow::MOST_ROWS, " rows expected on CUDA, ",
              pairs.previous.sizes(), " given");
  const auto [result, energies] = empty_results(pairs, flow::warps(size, settings));
  if (pairs.count() == 0) return {result, energies};
  const Tensor workspace =
      at::empty({flow::brox_workspace(pairs.count(), size, settings)}, pairs.previous.options().dtype(at::kByte));
  C10_CUDA_CHECK(flow::brox_flow_cuda(pairs.previous.const_data_ptr<uint8_t>(),
                                      pairs.following.const_data_ptr<uint8_t>(), pairs.count(), size, settings,
                                      result.mutable_data_ptr<float>(),
                                      reinterpret_cast<flow::EnergyStep*>(energies.mutable_data_ptr<double>()),
                                      workspace.mutable_data_ptr<uint8_t>(), c10::cuda::getCurrentCUDAStream()));
  return {result, energies};
}

}  // namespace

TORCH_LIBRARY_IMPL(lrcn, CUDA, m) { m.impl("brox_flow", brox_flow_cuda); }

}  // namespace lrcn
