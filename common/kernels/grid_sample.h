// Sampling of images at the points of a grid on the CPU: bilinear, zeros outside, with gradients by image and by grid.
//
// The four pixels around a point and their weights are worked out once per image and shared by the channels. Every
// output value is summed by one thread in a fixed order, so results repeat bit for bit.
//
// Plain C++14, and right under -ffast-math too: Jittor includes this text in its own kernels.
#ifndef TRISEG_GRID_SAMPLE_H
#define TRISEG_GRID_SAMPLE_H

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace triseg {

// x (images, channels, height, width), grid (grids, points, 2), output (grids, channels, points); there are as many
// images as grids, or one for all of them.
struct GridShape {
    int64_t images, channels, height, width, grids, points;
    bool corners;  // -1 and 1 are the middles of the outermost pixels, not the borders

    float scale(int64_t side) const { return corners ? (side - 1) / 2.0f : side / 2.0f; }
    // Where a channel of the image that a grid reads begins.
    int64_t plane(int64_t grid, int64_t channel) const {
        return ((images == 1 ? 0 : grid) * channels + channel) * height * width;
    }
};

constexpr int kGridBlock = 256;

// Where the points begin .. begin + count of a grid read its image. The corners are upper left, upper right, lower
// left, lower right; one outside the image has inside = 0 and place = 0.
struct GridSamples {
    int count;
    int32_t place[4][kGridBlock];
    float inside[4][kGridBlock];
    float weight[4][kGridBlock];
    float to_x[kGridBlock], to_y[kGridBlock];  // distance from the upper left corner
};

inline bool grid_is_finite(float value) {  // -ffast-math takes std::isfinite for true
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return (bits & 0x7f800000) != 0x7f800000;
}

// A point that is not finite reads nothing.
inline void grid_samples(const float* grids, const GridShape& s, int64_t grid, int64_t begin, GridSamples& out) {
    out.count = (int)std::min<int64_t>(kGridBlock, s.points - begin);
    const float shift = s.corners ? 0.0f : 0.5f;
    const float* points = grids + (grid * s.points + begin) * 2;
    for (int i = 0; i < out.count; ++i) {
        float x = (points[2 * i] + 1) * s.scale(s.width) - shift;
        float y = (points[2 * i + 1] + 1) * s.scale(s.height) - shift;
        if (!grid_is_finite(x) || !grid_is_finite(y)) x = y = -9;
        const float left = std::floor(x), top = std::floor(y);
        out.to_x[i] = x - left;
        out.to_y[i] = y - top;
        for (int k = 0; k < 4; ++k) {
            const float column = left + k % 2, row = top + k / 2;
            const bool inside = column >= 0 && column < s.width && row >= 0 && row < s.height;
            const float share_x = k % 2 ? out.to_x[i] : 1 - out.to_x[i];
            const float share_y = k / 2 ? out.to_y[i] : 1 - out.to_y[i];
            out.inside[k][i] = inside;
            out.place[k][i] = inside ? (int32_t)((int64_t)row * s.width + (int64_t)column) : 0;
            out.weight[k][i] = inside ? share_x * share_y : 0.0f;
        }
    }
}

inline std::vector<GridSamples> grid_samples_of(const float* grids, const GridShape& s, int64_t grid) {
    std::vector<GridSamples> blocks((s.points + kGridBlock - 1) / kGridBlock);
    #pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < (int64_t)blocks.size(); ++b) grid_samples(grids, s, grid, b * kGridBlock, blocks[b]);
    return blocks;
}

inline void grid_sample_forward(const float* x, const float* grids, const GridShape& s, float* output) {
    for (int64_t grid = 0; grid < s.grids; ++grid) {
        const std::vector<GridSamples> blocks = grid_samples_of(grids, s, grid);
        #pragma omp parallel for schedule(static)
        for (int64_t channel = 0; channel < s.channels; ++channel) {
            const float* from = x + s.plane(grid, channel);
            float* to = output + (grid * s.channels + channel) * s.points;
            for (const GridSamples& block : blocks) {
                for (int i = 0; i < block.count; ++i) {
                    float total = 0;
                    for (int k = 0; k < 4; ++k) total += block.weight[k][i] * from[block.place[k][i]];
                    to[i] = total;
                }
                to += block.count;
            }
        }
    }
}

inline void grid_sample_grad_input(const float* grad_output, const float* grids, const GridShape& s, float* grad_x) {
    std::fill_n(grad_x, s.images * s.channels * s.height * s.width, 0.0f);
    for (int64_t grid = 0; grid < s.grids; ++grid) {
        const std::vector<GridSamples> blocks = grid_samples_of(grids, s, grid);
        #pragma omp parallel for schedule(static)
        for (int64_t channel = 0; channel < s.channels; ++channel) {
            float* to = grad_x + s.plane(grid, channel);
            const float* from = grad_output + (grid * s.channels + channel) * s.points;
            for (const GridSamples& block : blocks) {
                for (int i = 0; i < block.count; ++i)
                    for (int k = 0; k < 4; ++k) to[block.place[k][i]] += block.weight[k][i] * from[i];
                from += block.count;
            }
        }
    }
}

inline void grid_sample_grad_grid(const float* grad_output, const float* x, const float* grids, const GridShape& s,
                                  float* grad_grids) {
    const int64_t blocks = (s.points + kGridBlock - 1) / kGridBlock;
    #pragma omp parallel for schedule(static)
    for (int64_t job = 0; job < s.grids * blocks; ++job) {
        const int64_t grid = job / blocks, begin = job % blocks * kGridBlock;
        GridSamples block;
        grid_samples(grids, s, grid, begin, block);
        float along_x[kGridBlock] = {}, along_y[kGridBlock] = {};
        for (int64_t channel = 0; channel < s.channels; ++channel) {
            const float* from = x + s.plane(grid, channel);
            const float* gradient = grad_output + (grid * s.channels + channel) * s.points + begin;
            for (int i = 0; i < block.count; ++i) {
                float corner[4];
                for (int k = 0; k < 4; ++k) corner[k] = block.inside[k][i] * from[block.place[k][i]];
                const float u = block.to_x[i], v = block.to_y[i];
                along_x[i] += ((corner[1] - corner[0]) * (1 - v) + (corner[3] - corner[2]) * v) * gradient[i];
                along_y[i] += ((corner[2] - corner[0]) * (1 - u) + (corner[3] - corner[1]) * u) * gradient[i];
            }
        }
        float* out = grad_grids + (grid * s.points + begin) * 2;
        for (int i = 0; i < block.count; ++i) {
            out[2 * i] = along_x[i] * s.scale(s.width);
            out[2 * i + 1] = along_y[i] * s.scale(s.height);
        }
    }
}

}  // namespace triseg

#endif
