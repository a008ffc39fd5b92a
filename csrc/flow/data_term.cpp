#include "flow/data_term.h"

#include <vector>

#include "flow/energy.h"
#include "flow/vectorised.h"

namespace lrcn::flow {
namespace {

LRCN_INLINE float sum(Pixel channels) { return (channels[0] + channels[1]) + (channels[2] + channels[3]); }

// One row of each entry of J. Differences (t) are between the images; derivatives are the mean of both images'.
LRCN_VECTORISED
void tensor_row(int64_t count, float gamma, const Jet* previous, const Jet* warped, const float* inside,
                float* const* j) {
  for (int64_t i = 0; i < count; ++i) {
    const auto mean = [&](Jet::Part part) { return 0.5f * (previous[i].part[part] + warped[i].part[part]); };
    const auto change = [&](Jet::Part part) { return warped[i].part[part] - previous[i].part[part]; };
    const Pixel x = mean(Jet::X), y = mean(Jet::Y), xx = mean(Jet::XX), xy = mean(Jet::XY), yy = mean(Jet::YY);
    const Pixel t = change(Jet::VALUE), xt = change(Jet::X), yt = change(Jet::Y);
    j[XX][i] = inside[i] * sum(x * x + gamma * (xx * xx + xy * xy));
    j[XY][i] = inside[i] * sum(x * y + gamma * (xx * xy + xy * yy));
    j[YY][i] = inside[i] * sum(y * y + gamma * (xy * xy + yy * yy));
    j[XT][i] = inside[i] * sum(x * t + gamma * (xx * xt + xy * yt));
    j[YT][i] = inside[i] * sum(y * t + gamma * (xy * xt + yy * yt));
    j[TT][i] = inside[i] * sum(t * t + gamma * (xt * xt + yt * yt));
  }
}

}  // namespace

DataTerm linearise(const Jets& previous, const Jets& following, const Image& flow, float gamma, float epsilon,
                   Memory* memory) {
  DataTerm result{SplitPlanes(ENTRIES, flow.size(), memory), 0.0};
  std::vector<Jet> warped(flow.width);
  std::vector<float> inside(flow.width), rows(ENTRIES * flow.width);
  float* j[ENTRIES];
  for (int64_t entry = 0; entry < ENTRIES; ++entry) j[entry] = &rows[entry * flow.width];
  for (int64_t y = 0; y < flow.height; ++y) {
    sample_row(following, flow, y, warped.data(), inside.data());
    tensor_row(flow.width, gamma, previous.row(y), warped.data(), inside.data(), j);
    result.energy += robust_sum(flow.width, j[TT], epsilon);
    for (int64_t entry = 0; entry < ENTRIES; ++entry) result.tensor.set_row(entry, y, j[entry]);
  }
  return result;
}

}  // namespace lrcn::flow
