// Runs csrc/flow/brox_cuda.cu on the host. Words on the command line:
//
//   BACKWARDS PAIRS HEIGHT WIDTH ALPHA GAMMA EPSILON SIGMA ETA COARSEST OUTER INNER SOR OMEGA
//
// The previous images come from stdin, then the following ones; the flow goes to stdout, then the energies.
#include <cstdio>
#include <cstdlib>
#include <new>
#include <vector>

#include "flow/brox_cuda.h"
#include "flow/pyramid.h"
#include "launch.cuh"

int main(int count, char** words) {
  using namespace lrcn::flow;
  if (count != 15) return 2;
  const auto integer = [&](int word) { return std::atoll(words[word]); };
  const auto real = [&](int word) { return std::atof(words[word]); };
  lrcn::gpu::backwards = integer(1);
  const int64_t pairs = integer(2);
  const Size size = {integer(3), integer(4)};
  const BroxSettings settings = {real(5),     real(6),     real(7),     real(8),     real(9),
                                 integer(10), integer(11), integer(12), integer(13), real(14)};
  std::vector<uint8_t> previous(pairs * size.height * size.width * 3), following(previous.size());
  for (std::vector<uint8_t>* images : {&previous, &following}) {
    if (std::fread(images->data(), 1, images->size(), stdin) != images->size()) return 3;
  }
  // Whatever is not written before it is read, and every result that is not written, is NaN.
  std::vector<float> flow(pairs * size.height * size.width * 2);
  const int64_t levels = levels_of(size, settings.eta, settings.coarsest).size();
  std::vector<EnergyStep> energies(pairs * levels * settings.outer_iterations);
  std::memset(flow.data(), 0xff, flow.size() * sizeof(float));
  std::memset(static_cast<void*>(energies.data()), 0xff, energies.size() * sizeof(EnergyStep));
  const int64_t bytes = brox_workspace(pairs, size, settings);
  void* workspace = ::operator new(bytes, std::align_val_t(256));
  std::memset(workspace, 0xff, bytes);
  if (brox_flow_cuda(previous.data(), following.data(), pairs, size, settings, flow.data(), energies.data(), workspace,
                     nullptr) != cudaSuccess) {
    return 4;
  }
  ::operator delete(workspace, std::align_val_t(256));
  std::fwrite(flow.data(), sizeof(float), flow.size(), stdout);
  std::fwrite(energies.data(), sizeof(EnergyStep), energies.size(), stdout);
}
