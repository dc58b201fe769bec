// The bodies of those code operators in _transformer_ops.py that no other framework needs: copies between maps and
// windows.

#include <algorithm>

namespace transformer_ops {

// Maps (images, height, width, channels), filled up to whole windows and rolled back by `shift`, as windows of
// `window` ** 2 tokens, row by row or column by column.
struct Windows {
    long images, height, width, channels, window, shift, by_columns;

    // Calls visit(token, pixel) for each token of all windows; pixel is negative where no pixel of the map is.
    template <class Visit>
    void each(Visit visit) const {
        const long rows = (height + window - 1) / window, columns = (width + window - 1) / window;
        #pragma omp parallel for schedule(static)
        for (long line = 0; line < images * rows * window; line++) {
            const long image = line / (rows * window), down = line % (rows * window);
            const long y = (down + shift) % (rows * window);
            for (long across = 0; across < columns * window; across++) {
                const long x = (across + shift) % (columns * window);
                const long in_row = down % window, in_column = across % window;
                const long first = ((image * rows + down / window) * columns + across / window) * window * window;
                const long token = first + (by_columns ? in_column * window + in_row : in_row * window + in_column);
                visit(token, y < height && x < width ? (image * height + y) * width + x : -1);
            }
        }
    }
};

// out (windows, tokens, channels), with zeros where the map has no pixel
inline void to_windows(const float* map, float* out, const Windows& shape) {
    const long channels = shape.channels;
    shape.each([=](long token, long pixel) {
        if (pixel < 0)
            std::fill_n(out + token * channels, channels, 0.0f);
        else
            std::copy_n(map + pixel * channels, channels, out + token * channels);
    });
}

inline void from_windows(const float* windows, float* out, const Windows& shape) {
    const long channels = shape.channels;
    shape.each([=](long token, long pixel) {
        if (pixel >= 0) std::copy_n(windows + token * channels, channels, out + pixel * channels);
    });
}

}  // namespace transformer_ops
