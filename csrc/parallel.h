// Threads over independent parts of the work. The program that these kernels are linked into supplies them.
#pragma once

#include <cstdint>
#include <functional>

namespace lrcn {

// Calls body(begin, end) on parts that together cover 0..count, each of at least `grain` items but the last; the parts
// may run at the same time. An exception thrown by a part is thrown again here.
void parallel_for(int64_t count, int64_t grain, const std::function<void(int64_t begin, int64_t end)>& body);

}  // namespace lrcn
