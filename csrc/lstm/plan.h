// Which CUDA path serves which sequence, and how the persistent kernel (lstm_cuda.cu) divides it: plain arithmetic on
// the host, so that the decision can be read, and tested, without a GPU.
#pragma once

#include <algorithm>
#include <cstdint>

namespace lrcn::lstm {

enum class Pass { forward, backward };

// What the recurrent product is made of. `tf32` means tensor cores; products of half and bfloat16 numbers, which fit
// into TF32's eleven bits, always are.
enum class Product { fma32, fma64, tf32 };

// What one thread, or for tf32 one warp, computes: a tile of the product of a block.
struct Tile {
  int rows, streams, threads;
};

// A narrow tile keeps many threads busy with few streams, a wide one reads fewer operands per multiplication.
constexpr Tile tile_of(Product product, bool wide) {
  if (product == Product::tf32) return wide ? Tile{32, 32, 32} : Tile{8, 16, 32};
  return wide && product == Product::fma32 ? Tile{8, 8, 1} : Tile{4, 4, 1};
}

struct Device {
  int64_t multiprocessors;
  int64_t shared_memory;     // bytes that one block can have
  int64_t chunk = 32 << 10;  // bytes brought in at once; two such are on their way, to hide how long they take
};

struct Plan {
  bool persistent;  // false: one product and one launch of the cell kernel per step, and nothing below is set

  // Block (slice, group) keeps the weights of `units` hidden units on its chip and serves `streams` streams.
  int units, slices, streams, groups;
  bool wide;

  // The product of a block: `rows` weight rows with `length` numbers of every stream, brought in by chunks of `chunk`
  // numbers. Padded so that every tile is whole: rows of zeros, streams that nobody reads, a length divisible by 8.
  int rows, padded_streams, length, chunk;
  // Its threads: tiles side by side, and `splits` of them that share a tile's sums.
  int row_tiles, stream_tiles, splits;

  int64_t shared_memory, workspace;  // bytes

  // Distances between rows in shared memory: a multiple of 16 bytes that is an odd one, against bank conflicts.
  template <class A>
  static constexpr int padding = 16 / sizeof(A);
};

constexpr int THREADS = 256;        // of a block; a divisor of it (a multiple of 32) in tests
constexpr int MOST_SPLITS = 16;     // summing more parts would cost more than it saves
constexpr int COUNTER_BYTES = 128;  // one barrier counter per group, each in a cache line of its own

constexpr int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t round_up(int64_t a, int64_t b) { return divide_up(a, b) * b; }

// The rest of a plan whose units, slices, streams and groups are chosen; persistent if it fits.
inline Plan arranged(Plan plan, Pass pass, Product product, bool wide, int64_t N, int64_t H, const Device& device,
                     int threads) {
  const int size = product == Product::fma64 ? 8 : 4, padding = 16 / size;
  const Tile tile = tile_of(product, wide);
  plan.wide = wide;
  plan.rows = static_cast<int>(round_up((pass == Pass::forward ? 4 : 1) * plan.units, tile.rows));
  plan.padded_streams = static_cast<int>(round_up(plan.streams, tile.streams));
  plan.length = static_cast<int>(round_up(pass == Pass::forward ? H : 4 * H, 8));
  plan.row_tiles = plan.rows / tile.rows;
  plan.stream_tiles = plan.padded_streams / tile.streams;
  const int workers = threads / tile.threads, tiles = plan.row_tiles * plan.stream_tiles;
  plan.splits = std::clamp(workers / tiles, 1, MOST_SPLITS);

  // In whole rounds of the splits, 8 numbers each; where there is much to bring, the second half comes during the
  // first.
  const int64_t round = 8 * plan.splits, fitting = device.chunk / (plan.padded_streams * size);
  const int64_t wanted = 4 * plan.length > fitting ? divide_up(plan.length, 2) : plan.length;
  const int64_t chunk = std::max<int64_t>(std::min(fitting, round_up(wanted, round)) / round, 1) * round;
  plan.chunk = static_cast<int>(std::min<int64_t>(chunk, plan.length));

  const int64_t weights = static_cast<int64_t>(plan.rows) * (plan.length + padding);
  const int64_t chunks = 2 * static_cast<int64_t>(plan.padded_streams) * (plan.chunk + padding);
  const int64_t sums = static_cast<int64_t>(plan.splits) * plan.padded_streams * (plan.rows + padding);
  plan.shared_memory = size * (weights + std::max(chunks, sums));
  plan.workspace = plan.groups * COUNTER_BYTES + 2 * N * plan.length * size;
  plan.persistent = tiles <= workers && plan.rows <= threads && plan.shared_memory <= device.shared_memory;
  return plan;
}

// The path of T steps of N streams and H hidden units:
//
//   T = 1                                                 per step (there is no recurrent product at all)
//   no division of W_hc among the multiprocessors fits    per step
//   more than 16 (forward) or 4 (backward) streams        per step: a block reads the state of all its streams at every
//     per hidden unit of a block                          step, backward four times as much, and the more units it has
//                                                         the more it computes from it; cuBLAS blocks both ways
//   otherwise                                             persistent
//
// Of the divisions that fit, the one with the fewest units of which a block has no more streams than units: it balances
// what a block reads of W_hc and of the state. All divisions use as many multiprocessors as they can.
inline Plan plan_of(Pass pass, Product product, int64_t T, int64_t N, int64_t H, const Device& device,
                    int threads = THREADS) {
  Plan best{};
  if (T == 1) return best;
  for (int units = 4; units <= 32; units *= 2) {
    const int64_t slices = divide_up(H, units);
    if (slices > device.multiprocessors) continue;
    const int64_t streams = divide_up(N, std::min(N, device.multiprocessors / slices));
    if (streams > units * (pass == Pass::forward ? 16 : 4)) continue;
    Plan candidate{};
    candidate.units = units;
    candidate.slices = static_cast<int>(slices);
    candidate.streams = static_cast<int>(streams);
    candidate.groups = static_cast<int>(divide_up(N, streams));
    // Wide tiles pay when narrow ones would not be split among threads anyway.
    Plan narrow = arranged(candidate, pass, product, false, N, H, device, threads);
    const Plan wide = arranged(candidate, pass, product, true, N, H, device, threads);
    const bool large = static_cast<int64_t>(narrow.rows) * narrow.streams >= 4 * threads;
    candidate = wide.persistent && (large || !narrow.persistent) ? wide : narrow;
    if (!candidate.persistent) continue;
    best = candidate;
    if (streams <= units) break;
  }
  return best;
}

}  // namespace lrcn::lstm
