// Optical flow on tensors, on every device: the arguments of `torch.ops.lrcn.brox_flow`, checked.
#pragma once

#include <ATen/core/Tensor.h>

#include <tuple>

#include "flow/brox.h"

namespace lrcn {

using at::Tensor;

// Pairs of images (N, height, width, 3) uint8 on one device, dense.
struct Pairs {
  Pairs(const Tensor& previous, const Tensor& following);

  int64_t count() const { return previous.size(0); }
  flow::Size size() const { return {previous.size(1), previous.size(2)}; }

  Tensor previous, following;
};

// The flow and the energies of all pairs, before they are computed.
std::tuple<Tensor, Tensor> empty_results(const Pairs& pairs, int64_t warps);

flow::BroxSettings checked_settings(double alpha, double gamma, double epsilon, double sigma, double eta,
                                    int64_t coarsest, int64_t outer_iterations, int64_t inner_iterations,
                                    int64_t sor_iterations, double omega);

}  // namespace lrcn
