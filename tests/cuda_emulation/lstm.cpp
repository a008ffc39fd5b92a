// Runs csrc/lstm/lstm_cuda.cu on the host. Words on the command line:
//
//   plan PASS PRODUCT T N H MULTIPROCESSORS SHARED_MEMORY CHUNK THREADS     prints the plan
//   run  PASS PRODUCT T N H MULTIPROCESSORS SHARED_MEMORY CHUNK THREADS STORAGE PERSISTENT EARLY_COPIES BARE
//                                                                     arrays from stdin, results to stdout
//
// PASS is forward or backward, PRODUCT fma32, fma64 or tf32, STORAGE float, double or half. The arrays of a run follow
// each other as in lstm.h, also those that may be null;
// BARE keeps no gates on the way forward; on the way back it passes null for dh and dc_T, and asks for Caffe's
// gradient.
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "lstm/gpu.cuh"
#include "lstm/lstm_cuda.h"

namespace {

using namespace lrcn::lstm;

struct Request {
  Pass pass;
  Product product;
  int64_t T, N, H;
  Device device;
  int threads;
  Plan plan() const { return plan_of(pass, product, T, N, H, device, threads); }
};

template <class Type>
std::vector<Type> read(int64_t count) {
  std::vector<Type> values(count);
  if (std::fread(values.data(), sizeof(Type), count, stdin) != static_cast<size_t>(count)) std::exit(3);
  return values;
}

template <class Type>
void write(const std::vector<Type>& values) {
  std::fwrite(values.data(), sizeof(Type), values.size(), stdout);
}

// The results before they are written: NaN.
template <class Type>
std::vector<Type> poisoned(int64_t count) {
  std::vector<Type> values(count);
  std::memset(static_cast<void*>(values.data()), 0xff, count * sizeof(Type));
  return values;
}

struct Workspace {
  void* memory;
  explicit Workspace(int64_t bytes) : memory(::operator new(bytes, std::align_val_t(256))) {
    std::memset(memory, 0xff, bytes);
  }
  ~Workspace() { ::operator delete(memory, std::align_val_t(256)); }
};

template <class S, class A>
void forward(const Request& request, bool persistent, bool bare) {
  const auto [pass, product, T, N, H, device, threads] = request;
  auto terms = read<A>(T * N * 4 * H);
  const auto cont = read<A>(T * N);
  const auto w_h = read<S>(4 * H * H);
  const auto c_0 = read<A>(N * H);
  auto h = poisoned<S>(T * N * H);
  auto c = poisoned<A>(T * N * H);
  const Forward<S, A> sequence{T, N, H, terms.data(), cont.data(), w_h.data(), c_0.data(), h.data(), c.data(), !bare};
  if (persistent) {
    const Plan plan = request.plan();
    if (!plan.persistent) std::exit(4);
    Workspace workspace(plan.workspace);
    forward_persistent(sequence, plan, product, workspace.memory, nullptr, threads);
  } else {
    std::vector<S> continued(N * H);
    std::vector<A> product_of_step(N * 4 * H);
    for (int64_t t = 0; t < T; ++t) {
      for (int64_t i = 0; t > 0 && i < N * 4 * H; ++i) {
        A sum = 0;
        for (int64_t k = 0; k < H; ++k)
          sum += lrcn::gpu::widened(continued[i / (4 * H) * H + k]) * lrcn::gpu::widened(w_h[i % (4 * H) * H + k]);
        product_of_step[i] = sum;
      }
      forward_cell(sequence, t, t > 0 ? product_of_step.data() : nullptr, t + 1 < T ? continued.data() : nullptr,
                   nullptr);
    }
  }
  write(h);
  write(c);
  write(terms);
}

template <class S, class A>
void backward(const Request& request, bool persistent, bool bare) {
  const auto [pass, product, T, N, H, device, threads] = request;
  const auto cont = read<A>(T * N);
  const auto w_h = read<S>(4 * H * H);
  const auto c_0 = read<A>(N * H), c = read<A>(T * N * H), gates = read<A>(T * N * 4 * H);
  const auto dh = read<S>(T * N * H), dh_T = read<S>(N * H);
  const auto dc_T = read<A>(N * H);
  auto d_terms = poisoned<A>(T * N * 4 * H), dc_0 = poisoned<A>(N * H);
  const Backward<S, A> sequence{T,
                                N,
                                H,
                                cont.data(),
                                w_h.data(),
                                c_0.data(),
                                c.data(),
                                gates.data(),
                                bare ? nullptr : dh.data(),
                                dh_T.data(),
                                bare ? nullptr : dc_T.data(),
                                bare,
                                d_terms.data(),
                                dc_0.data()};
  if (persistent) {
    const Plan plan = request.plan();
    if (!plan.persistent) std::exit(4);
    Workspace workspace(plan.workspace);
    backward_persistent(sequence, plan, product, workspace.memory, nullptr, threads);
  } else {
    std::vector<S> d_terms_of_step(N * 4 * H);
    std::vector<A> product_of_step(N * H);
    for (int64_t step = 0; step < T; ++step) {
      for (int64_t i = 0; step > 0 && i < N * H; ++i) {
        A sum = 0;
        for (int64_t k = 0; k < 4 * H; ++k)
          sum += lrcn::gpu::widened(d_terms_of_step[i / H * 4 * H + k]) * lrcn::gpu::widened(w_h[k * H + i % H]);
        product_of_step[i] = sum;
      }
      backward_cell(sequence, step, step > 0 ? product_of_step.data() : nullptr,
                    step + 1 < T ? d_terms_of_step.data() : nullptr, nullptr);
    }
  }
  write(d_terms);
  write(dc_0);
}

template <class S, class A>
void run(const Request& request, bool persistent, bool bare) {
  request.pass == Pass::forward ? forward<S, A>(request, persistent, bare) : backward<S, A>(request, persistent, bare);
}

}  // namespace

int main(int count, char** words) {
  const std::vector<std::string> word(words + 1, words + count);
  if (word.size() < 10) return 2;
  const Request request{word[1] == "forward" ? Pass::forward : Pass::backward,
                        word[2] == "fma32"   ? Product::fma32
                        : word[2] == "fma64" ? Product::fma64
                                             : Product::tf32,
                        std::stoll(word[3]),
                        std::stoll(word[4]),
                        std::stoll(word[5]),
                        {std::stoll(word[6]), std::stoll(word[7]), std::stoll(word[8])},
                        std::stoi(word[9])};
  if (word[0] == "plan") {
    const Plan plan = request.plan();
    std::cout << "{\"persistent\": " << plan.persistent << ", \"units\": " << plan.units
              << ", \"slices\": " << plan.slices << ", \"streams\": " << plan.streams << ", \"groups\": " << plan.groups
              << ", \"wide\": " << plan.wide << ", \"rows\": " << plan.rows << ", \"length\": " << plan.length
              << ", \"chunk\": " << plan.chunk << ", \"splits\": " << plan.splits
              << ", \"row_tiles\": " << plan.row_tiles << ", \"stream_tiles\": " << plan.stream_tiles
              << ", \"shared_memory\": " << plan.shared_memory << ", \"workspace\": " << plan.workspace << "}\n";
    return 0;
  }
  if (word.size() < 14) return 2;
  const bool persistent = word[11] == "1";
  lrcn::gpu::early_copies = word[12] == "1";
  const bool bare = word[13] == "1";
  if (word[10] == "double") {
    run<double, double>(request, persistent, bare);
  } else if (word[10] == "half") {
    run<__half, float>(request, persistent, bare);
  } else {
    run<float, float>(request, persistent, bare);
  }
}
