// Multi-scale deformable attention on the CPU: weighted bilinear readings from maps of several sizes, zeros outside,
// with the gradients by value, locations and attention in one pass.
//
// A head of a cell is a row of `size` numbers that lie together, along which everything is vectorised. Forward every
// query is read by one thread; backward all queries of an image's head are, whose gradients by value are that head's
// alone. So no two threads add to one number, and results repeat bit for bit.
//
// Plain C++14, and right under -ffast-math too: Jittor includes this text in its own kernels.
#ifndef TRISEG_MS_DEFORM_ATTN_H
#define TRISEG_MS_DEFORM_ATTN_H

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace triseg {

// value (images, cells, heads, size), the levels' cells one after the other; locations (images, queries, heads, levels,
// points, 2) as x, y; attention (images, queries, heads, levels, points); output (images, queries, heads * size)
struct MsDeformShape {
    int64_t images, cells, heads, size, queries, levels, points;
    const int32_t* sides;  // (levels, 2): the height and width of each

    // Where the numbers of an image's query and head begin, counted in points.
    int64_t samples(int64_t n, int64_t query, int64_t head) const {
        return ((n * queries + query) * heads + head) * levels * points;
    }
    // Where such a query's numbers begin in the output.
    int64_t output(int64_t n, int64_t query, int64_t head) const { return ((n * queries + query) * heads + head) * size; }
};

constexpr int64_t kMsDeformBlock = 256;  // queries that a thread takes on at a time

inline bool ms_deform_is_finite(float value) {  // -ffast-math takes std::isfinite for true
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return (bits & 0x7f800000) != 0x7f800000;
}

// What one location reads. The corners are upper left, upper right, lower left, lower right.
struct MsDeformSample {
    int64_t cell[4];  // in its level; -1 outside
    float weight[4];
    float to_x, to_y;  // distance from the upper left corner

    // False where the location lies a whole cell or more outside, or is not finite: it reads nothing.
    bool find(const float* location, int64_t height, int64_t width) {
        const float x = location[0] * width - 0.5f, y = location[1] * height - 0.5f;
        if (!ms_deform_is_finite(x) || !ms_deform_is_finite(y)) return false;
        if (!(x > -1 && y > -1 && x < width && y < height)) return false;
        const float floor_x = std::floor(x), floor_y = std::floor(y);
        const int64_t left = (int64_t)floor_x, top = (int64_t)floor_y;
        to_x = x - floor_x;
        to_y = y - floor_y;
        for (int k = 0; k < 4; ++k) {
            const int64_t column = left + k % 2, row = top + k / 2;
            const bool inside = column >= 0 && column < width && row >= 0 && row < height;
            cell[k] = inside ? row * width + column : -1;
            weight[k] = (k % 2 ? to_x : 1 - to_x) * (k / 2 ? to_y : 1 - to_y);
        }
        return true;
    }
};

// One head of one query; `row` is that head's row in an image's first cell, `step` leads to the next cell's, and a
// corner outside reads `zeros`. With kSize the compiler knows how long a row is.
template <int64_t kSize>
void ms_deform_read(const float* row, const float* locations, const float* attention, const MsDeformShape& s,
                    const float* zeros, float* output) {
    const int64_t size = kSize ? kSize : s.size, step = s.heads * s.size;
    std::fill_n(output, size, 0.0f);
    MsDeformSample at;
    for (int64_t level = 0; level < s.levels; ++level) {
        const int64_t height = s.sides[2 * level], width = s.sides[2 * level + 1];
        for (int64_t point = 0; point < s.points; ++point, locations += 2, ++attention) {
            if (!at.find(locations, height, width)) continue;
            const float* from[4];
            for (int k = 0; k < 4; ++k) {
                from[k] = at.cell[k] < 0 ? zeros : row + at.cell[k] * step;
                at.weight[k] *= *attention;
            }
            #pragma omp simd
            for (int64_t i = 0; i < size; ++i) {
                output[i] += at.weight[0] * from[0][i] + at.weight[1] * from[1][i] + at.weight[2] * from[2][i] +
                             at.weight[3] * from[3][i];
            }
        }
        row += height * width * step;
    }
}

// The same backward; what a corner outside is given goes to `waste`.
template <int64_t kSize>
void ms_deform_spread(const float* grad_output, const float* row, const float* locations, const float* attention,
                      const MsDeformShape& s, const float* zeros, float* waste, float* grad_row, float* grad_locations,
                      float* grad_attention) {
    const int64_t size = kSize ? kSize : s.size, step = s.heads * s.size;
    MsDeformSample at;
    for (int64_t level = 0; level < s.levels; ++level) {
        const int64_t height = s.sides[2 * level], width = s.sides[2 * level + 1];
        for (int64_t point = 0; point < s.points; ++point, locations += 2, ++attention) {
            float along_x = 0, along_y = 0, read = 0;
            if (at.find(locations, height, width)) {
                const float* from[4];
                float *to[4], weight[4];
                for (int k = 0; k < 4; ++k) {
                    from[k] = at.cell[k] < 0 ? zeros : row + at.cell[k] * step;
                    to[k] = at.cell[k] < 0 ? waste : grad_row + at.cell[k] * step;
                    weight[k] = at.weight[k] * *attention;
                }
                float a = 0, b = 0, c = 0, d = 0;  // the gradient times what each corner reads
                #pragma omp simd reduction(+ : a, b, c, d)
                for (int64_t i = 0; i < size; ++i) {
                    const float gradient = grad_output[i];
                    a += gradient * from[0][i];
                    b += gradient * from[1][i];
                    c += gradient * from[2][i];
                    d += gradient * from[3][i];
                    to[0][i] += gradient * weight[0];
                    to[1][i] += gradient * weight[1];
                    to[2][i] += gradient * weight[2];
                    to[3][i] += gradient * weight[3];
                }
                read = at.weight[0] * a + at.weight[1] * b + at.weight[2] * c + at.weight[3] * d;
                along_x = (b - a) * (1 - at.to_y) + (d - c) * at.to_y;
                along_y = (c - a) * (1 - at.to_x) + (d - b) * at.to_x;
            }
            *grad_attention++ = read;
            *grad_locations++ = along_x * *attention * width;
            *grad_locations++ = along_y * *attention * height;
        }
        row += height * width * step;
        grad_row += height * width * step;
    }
}

inline void ms_deform_attn_forward(const float* value, const float* locations, const float* attention,
                                   const MsDeformShape& s, float* output) {
    const auto read = s.size == 32 ? ms_deform_read<32> : ms_deform_read<0>;
    const std::vector<float> zeros(s.size);
    const int64_t blocks = (s.queries + kMsDeformBlock - 1) / kMsDeformBlock;
    #pragma omp parallel for schedule(static)
    for (int64_t job = 0; job < s.images * s.heads * blocks; ++job) {
        const int64_t n = job / blocks / s.heads, head = job / blocks % s.heads, begin = job % blocks * kMsDeformBlock;
        const float* row = value + (n * s.cells * s.heads + head) * s.size;
        for (int64_t query = begin; query < std::min(begin + kMsDeformBlock, s.queries); ++query) {
            const int64_t at = s.samples(n, query, head);
            read(row, locations + 2 * at, attention + at, s, zeros.data(), output + s.output(n, query, head));
        }
    }
}

inline void ms_deform_attn_backward(const float* grad_output, const float* value, const float* locations,
                                    const float* attention, const MsDeformShape& s, float* grad_value,
                                    float* grad_locations, float* grad_attention) {
    const auto spread = s.size == 32 ? ms_deform_spread<32> : ms_deform_spread<0>;
    const std::vector<float> zeros(s.size);
    #pragma omp parallel for schedule(dynamic, 1)
    for (int64_t job = 0; job < s.images * s.heads; ++job) {
        const int64_t n = job / s.heads, head = job % s.heads, first = (n * s.cells * s.heads + head) * s.size;
        std::vector<float> waste(s.size);
        for (int64_t cell = 0; cell < s.cells; ++cell)
            std::fill_n(grad_value + first + cell * s.heads * s.size, s.size, 0.0f);
        for (int64_t query = 0; query < s.queries; ++query) {
            const int64_t at = s.samples(n, query, head);
            spread(grad_output + s.output(n, query, head), value + first, locations + 2 * at, attention + at, s,
                   zeros.data(), waste.data(), grad_value + first, grad_locations + 2 * at, grad_attention + at);
        }
    }
}

}  // namespace triseg

#endif
