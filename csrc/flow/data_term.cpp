#include "flow/data_term.h"

#include <vector>

#include "flow/arithmetic.h"
#include "flow/energy.h"

namespace lrcn::flow {
namespace {

// One row of each entry of J.
LRCN_VECTORISED
void tensor_row(int64_t count, float gamma, const Jet* previous, const Jet* warped, const float* inside,
                float* const* rows) {
  for (int64_t i = 0; i < count; ++i) {
    float j[ENTRIES];
    data_tensor(previous[i], warped[i], gamma, inside[i], j);
    for (int64_t entry = 0; entry < ENTRIES; ++entry) rows[entry][i] = j[entry];
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
