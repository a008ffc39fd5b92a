// Images as the flow's kernels see them: grids of pixels with a border.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory_resource>
#include <utility>
#include <vector>

namespace lrcn::flow {

// Where a level of the pyramid keeps what it needs: memory that the next level takes over.
using Memory = std::pmr::memory_resource;

struct Size {
  int64_t height, width;
};

// Four values that are computed with at once: R, G, B and 0 of an image, or x, y, 0 and 0 of a flow field.
using Pixel = float __attribute__((vector_size(16)));

// Leaves elements as they are where std::vector would set them to 0: all of them are written anyway.
template <typename Element>
struct Uninitialised : std::pmr::polymorphic_allocator<Element> {
  using std::pmr::polymorphic_allocator<Element>::polymorphic_allocator;

  template <typename Other>
  struct rebind {
    using other = Uninitialised<Other>;
  };

  Uninitialised select_on_container_copy_construction() const { return {}; }

  void construct(Element*) {}
  template <typename... Arguments>
  void construct(Element* element, Arguments&&... arguments) {
    new (element) Element(std::forward<Arguments>(arguments)...);
  }
};

// height x width elements, undefined at first, with a border of BORDER elements on every side.
template <typename Element>
class Grid {
public:
  static constexpr int64_t BORDER = 2;

  explicit Grid(Size size, Memory* memory = std::pmr::get_default_resource())
      : height(size.height),
        width(size.width),
        stride_(size.width + 2 * BORDER),
        elements_((size.height + 2 * BORDER) * stride_, memory) {}

  Size size() const { return {height, width}; }

  // Row y, -BORDER to height + BORDER; elements -BORDER to width + BORDER.
  Element* row(int64_t y) { return elements_.data() + (y + BORDER) * stride_ + BORDER; }
  const Element* row(int64_t y) const { return const_cast<Grid*>(this)->row(y); }

  // Fills the border: beyond its edges the grid goes on with its outermost elements.
  void extend() {
    for (int64_t y = 0; y < height; ++y) {
      std::fill_n(row(y) - BORDER, BORDER, row(y)[0]);
      std::fill_n(row(y) + width, BORDER, row(y)[width - 1]);
    }
    for (int64_t k = 1; k <= BORDER; ++k) {
      std::copy_n(row(0) - BORDER, stride_, row(-k) - BORDER);
      std::copy_n(row(height - 1) - BORDER, stride_, row(height - 1 + k) - BORDER);
    }
  }

  int64_t height, width;

private:
  int64_t stride_;
  std::vector<Element, Uninitialised<Element>> elements_;
};

using Image = Grid<Pixel>;

}  // namespace lrcn::flow
