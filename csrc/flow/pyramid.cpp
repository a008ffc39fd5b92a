#include "flow/pyramid.h"

#include <cmath>

#include "flow/arithmetic.h"

namespace lrcn::flow {
namespace {

// A linear map between the samples of one axis: output i is the sum over k of weights[i * taps + k] * input[first[i] +
// k].
struct Resampling {
  int64_t taps;
  std::vector<int64_t> first;
  std::vector<float> weights;
};

// Each output is the mean over the part of the axis that it covers.
Resampling area_resampling(int64_t inputs, int64_t outputs) {
  Resampling result{samples_of_area(inputs, outputs), {}, {}};
  for (int64_t i = 0; i < outputs; ++i) {
    const Area covered = area(inputs, outputs, result.taps, i);
    result.first.push_back(covered.first);
    for (int64_t k = 0; k < result.taps; ++k) result.weights.push_back(area_weight(covered, k));
  }
  return result;
}

Resampling linear_resampling(int64_t inputs, int64_t outputs) {
  Resampling result{2, {}, {}};
  for (int64_t i = 0; i < outputs; ++i) {
    const Between place = between(inputs, outputs, i);
    result.first.push_back(place.first);
    result.weights.insert(result.weights.end(), {1.0f - place.fraction, place.fraction});
  }
  return result;
}

LRCN_VECTORISED
void combine_rows(int64_t count, int64_t taps, const float* weights, const Pixel* const* rows, Pixel* result) {
  for (int64_t x = 0; x < count; ++x) {
    result[x] = weighted_sum(taps, [&](int64_t k) { return weights[k]; }, [&](int64_t k) { return rows[k][x]; });
  }
}

LRCN_VECTORISED
void combine_columns(int64_t count, int64_t taps, const int64_t* first, const float* weights, const Pixel* row,
                     Pixel* result) {
  for (int64_t x = 0; x < count; ++x, weights += taps) {
    const Pixel* in = row + first[x];
    result[x] = weighted_sum(taps, [&](int64_t k) { return weights[k]; }, [&](int64_t k) { return in[k]; });
  }
}

Image resample(const Image& image, const Resampling& rows, const Resampling& columns, Memory* memory) {
  Image result({static_cast<int64_t>(rows.first.size()), static_cast<int64_t>(columns.first.size())}, memory);
  std::vector<Pixel> mixed(image.width + 1);  // linear resampling reads one more, with weight 0
  std::vector<const Pixel*> in(rows.taps);
  for (int64_t y = 0; y < result.height; ++y) {
    for (int64_t k = 0; k < rows.taps; ++k) in[k] = image.row(rows.first[y] + k);
    combine_rows(image.width, rows.taps, &rows.weights[y * rows.taps], in.data(), mixed.data());
    combine_columns(result.width, columns.taps, columns.first.data(), columns.weights.data(), mixed.data(),
                    result.row(y));
  }
  return result;
}

Image reduce(const Image& image, Size size, Memory* memory) {
  return resample(image, area_resampling(image.height, size.height), area_resampling(image.width, size.width), memory);
}

// rows[k] and rows[-k] are k rows away.
LRCN_VECTORISED
void smooth_down(int64_t count, int64_t radius, const float* weights, const Pixel* const* rows, Pixel* result) {
  for (int64_t x = 0; x < count; ++x) {
    result[x] = symmetric_sum(radius, weights, [&](int64_t k) { return rows[k][x]; });
  }
}

LRCN_VECTORISED
void smooth_across(int64_t count, int64_t radius, const float* weights, const Pixel* row, Pixel* result) {
  for (int64_t x = 0; x < count; ++x) {
    result[x] = symmetric_sum(radius, weights, [&](int64_t k) { return row[x + k]; });
  }
}

// Convolves with a Gaussian; beyond its edges the image goes on with its outermost values.
Image smooth(const Image& image, double sigma, Memory* memory) {
  const std::vector<float> weights = half_gaussian(sigma);
  const int64_t radius = static_cast<int64_t>(weights.size()) - 1, width = image.width;
  Image result(image.size(), memory);
  std::vector<Pixel> mixed(width + 2 * radius);
  std::vector<const Pixel*> rows(2 * radius + 1);
  for (int64_t y = 0; y < image.height; ++y) {
    for (int64_t k = -radius; k <= radius; ++k) {
      rows[radius + k] = image.row(std::clamp<int64_t>(y + k, 0, image.height - 1));
    }
    smooth_down(width, radius, weights.data(), &rows[radius], &mixed[radius]);
    std::fill_n(mixed.begin(), radius, mixed[radius]);
    std::fill_n(mixed.begin() + radius + width, radius, mixed[radius + width - 1]);
    smooth_across(width, radius, weights.data(), &mixed[radius], result.row(y));
  }
  return result;
}

Image unpack(const uint8_t* bytes, Size size) {
  Image image(size);
  for (int64_t y = 0; y < size.height; ++y) {
    for (int64_t x = 0; x < size.width; ++x, bytes += 3) {
      image.row(y)[x] = Pixel{static_cast<float>(bytes[0]), static_cast<float>(bytes[1]), static_cast<float>(bytes[2])};
    }
  }
  return image;
}

}  // namespace

std::vector<Level> levels_of(Size image, double eta, int64_t coarsest) {
  std::vector<Level> levels;
  std::vector<int64_t> base_widths{image.width};
  for (Size size = image; levels.empty() || std::min(size.height, size.width) >= coarsest;) {
    const bool is_base = base_widths.back() >= 2 * size.width;
    const size_t last = base_widths.size() - 1;
    levels.push_back({size, is_base || last == 0 ? last : last - 1, is_base});
    if (is_base) base_widths.push_back(size.width);
    const double scale = std::pow(eta, static_cast<double>(levels.size()));
    size = {std::llround(image.height * scale), std::llround(image.width * scale)};
  }
  return levels;
}

int64_t samples_of_area(int64_t inputs, int64_t outputs) {
  return std::min<int64_t>(inputs, static_cast<int64_t>(std::ceil(static_cast<double>(inputs) / outputs)) + 1);
}

std::vector<float> half_gaussian(double sigma) {
  std::vector<double> weights;
  double sum = 0.0;
  for (int64_t k = 0; k <= static_cast<int64_t>(std::ceil(3.0 * sigma)); ++k) {
    weights.push_back(k == 0 ? 1.0 : std::exp(-0.5 * (k / sigma) * (k / sigma)));
    sum += (k == 0 ? 1.0 : 2.0) * weights.back();
  }
  std::vector<float> result;
  for (const double weight : weights) result.push_back(static_cast<float>(weight / sum));
  return result;
}

Image resize_flow(Image& flow, Size size) {
  flow.extend();
  Image result = resample(flow, linear_resampling(flow.height, size.height), linear_resampling(flow.width, size.width),
                          std::pmr::get_default_resource());
  const Pixel scale = {static_cast<float>(size.width) / flow.width, static_cast<float>(size.height) / flow.height};
  for (int64_t y = 0; y < size.height; ++y) {
    for (int64_t x = 0; x < size.width; ++x) result.row(y)[x] *= scale;
  }
  return result;
}

Pyramid::Pyramid(const uint8_t* image, const std::vector<Level>& levels, double sigma)
    : levels_(levels), sigma_(sigma) {
  bases_.push_back(unpack(image, levels[0].size));
  for (const Level& level : levels) {
    if (level.is_base) bases_.push_back(reduce(bases_.back(), level.size, std::pmr::get_default_resource()));
  }
}

Image Pyramid::level(size_t number, Memory* memory) const {
  Image image = reduce(bases_[levels_[number].source], levels_[number].size, memory);
  if (sigma_ > 0) return smooth(image, sigma_, memory);
  return image;
}

}  // namespace lrcn::flow
