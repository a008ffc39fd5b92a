// Convolution of 3x3 weights with stride 1 on tensors, `torch.ops.lrcn.winograd_convolution`: float32 on the CPU,
// images in channels_last. The transforms are in fast/winograd.h.
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/tensor.h>
#include <torch/library.h>

#include <algorithm>
#include <vector>

#include "fast/winograd.h"
#include "matrix_product.h"

namespace lrcn {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

// Transformed values at a time: many enough for the products, few enough for the cache.
constexpr int64_t VALUES = 12 << 20;

std::vector<int64_t> output_shape(const Tensor& x, const Tensor& weight, const OptionalTensor& bias,
                                  at::IntArrayRef pad, int64_t group) {
  TORCH_CHECK(x.scalar_type() == at::kFloat && x.dim() == 4, "x: float32 images with four axes expected, ",
              x.scalar_type(), " of shape ", x.sizes(), " given");
  TORCH_CHECK(weight.scalar_type() == at::kFloat && weight.dim() == 4 && group > 0 && weight.size(0) % group == 0 &&
                  weight.size(1) * group == x.size(1) && weight.size(2) == 3 && weight.size(3) == 3,
              "weight: float32 of shape (K, C / group, 3, 3) expected, ", weight.scalar_type(), " of shape ",
              weight.sizes(), " given for images of shape ", x.sizes(), " and ", group, " groups");
  TORCH_CHECK(!bias || (bias->scalar_type() == at::kFloat && bias->sizes() == weight.sizes().slice(0, 1)),
              "bias: float32 of shape (K,) expected");
  TORCH_CHECK(pad.size() == 2 && pad[0] >= 0 && pad[1] >= 0, "pad: two numbers expected, for height and width, ", pad,
              " given");
  const int64_t height = x.size(2) + 2 * pad[0] - 2, width = x.size(3) + 2 * pad[1] - 2;
  TORCH_CHECK(height > 0 && width > 0, "x: images of at least the size of the weights expected, ", x.sizes(), " given");
  return {x.size(0), weight.size(0), height, width};
}

// G g G^T of all weights g, (16, K, C).
Tensor transformed(const Tensor& weight) {
  const Tensor g =
      at::tensor({1.0, 0.0, 0.0, 0.5, 0.5, 0.5, 0.5, -0.5, 0.5, 0.0, 0.0, 1.0}, weight.options()).view({4, 3});
  return at::matmul(at::matmul(g, weight), g.t()).permute({2, 3, 0, 1}).contiguous().flatten(0, 1);
}

Tensor winograd_convolution(const Tensor& x, const Tensor& weight, const OptionalTensor& bias, at::IntArrayRef pad,
                            int64_t group) {
  const Tensor y = at::empty(output_shape(x, weight, bias, pad, group), x.options(), at::MemoryFormat::ChannelsLast);
  const Tensor source = x.contiguous(at::MemoryFormat::ChannelsLast), constants = bias ? bias->contiguous() : Tensor();
  const Tensor all_weights = transformed(weight);
  const int64_t inputs = weight.size(1), outputs = weight.size(0) / group;
  const fast::Channels input{x.size(2), x.size(3), inputs, x.size(1)};
  const fast::Channels output{y.size(2), y.size(3), outputs, y.size(1)};
  const int64_t x_step = input.height * input.width * input.step, y_step = output.height * output.width * output.step;
  const fast::Tiling tiling{output.height, output.width};
  const int64_t tiles = tiling.count(), values = fast::POINTS * tiles * (inputs + outputs);
  const int64_t images_at_once = std::max<int64_t>(VALUES / values, 1);

  for (int64_t number = 0; number < group; ++number) {
    const float* from = source.const_data_ptr<float>() + number * inputs;
    float* to = y.mutable_data_ptr<float>() + number * outputs;
    const float* constant = bias ? constants.const_data_ptr<float>() + number * outputs : nullptr;
    std::vector<PreparedWeights> weights;
    for (int64_t p = 0; p < fast::POINTS; ++p) {
      weights.emplace_back(all_weights[p].narrow(0, number * outputs, outputs), images_at_once * tiles);
    }
    for (int64_t first = 0; first < x.size(0); first += images_at_once) {
      const int64_t images = std::min(images_at_once, x.size(0) - first);
      const Tensor transforms = at::empty({fast::POINTS, images * tiles, inputs}, x.options());
      float* v = transforms.mutable_data_ptr<float>();
      at::parallel_for(0, images, 1, [&](int64_t begin, int64_t end) {
        for (int64_t n = begin; n < end; ++n) {
          fast::Points points;
          for (int64_t p = 0; p < fast::POINTS; ++p) points[p] = v + (p * images + n) * tiles * inputs;
          fast::transform_inputs(input, from + (first + n) * x_step, tiling, pad[0], pad[1], points);
        }
      });
      Tensor products[fast::POINTS];
      for (int64_t p = 0; p < fast::POINTS; ++p) products[p] = weights[p].product(transforms[p]);
      at::parallel_for(0, images, 1, [&](int64_t begin, int64_t end) {
        for (int64_t n = begin; n < end; ++n) {
          fast::ConstPoints points;
          for (int64_t p = 0; p < fast::POINTS; ++p) {
            points[p] = products[p].const_data_ptr<float>() + n * tiles * outputs;
          }
          fast::transform_products(points, constant, output, to + (first + n) * y_step);
        }
      });
    }
  }
  return y;
}

}  // namespace
}  // namespace lrcn

TORCH_LIBRARY_FRAGMENT(lrcn, m) {
  m.def("winograd_convolution(Tensor x, Tensor weight, Tensor? bias, int[] pad, int group) -> Tensor");
}

TORCH_LIBRARY_IMPL(lrcn, CPU, m) { m.impl("winograd_convolution", lrcn::winograd_convolution); }
