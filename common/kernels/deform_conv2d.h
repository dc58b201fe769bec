// The sampling half of modulated deformable convolution (DCNv2, one offset group) on the CPU; the matrix product with
// the weights stays with the framework. With columns = deform_columns(x, offset, mask), of shape (N, C * taps, pixels):
//
//     output (N, O, pixels) = weight (O, C * taps) @ columns + bias
//
// Positions and bilinear weights are worked out once per tap and block of pixels and shared by the channels. Every
// output value is summed by one thread in a fixed order, so results repeat bit for bit.
//
// Plain C++14, and right under -ffast-math too: Jittor includes this text in its own kernels.
#ifndef TRISEG_DEFORM_CONV2D_H
#define TRISEG_DEFORM_CONV2D_H

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace triseg {

struct DeformShape {
    int64_t images, channels, height, width;                  // of the input
    int64_t kernel_h, kernel_w, stride_h, stride_w, padding_h, padding_w, dilation_h, dilation_w;
    int64_t out_height, out_width;

    int64_t taps() const { return kernel_h * kernel_w; }
    int64_t pixels() const { return out_height * out_width; }
};

constexpr int kDeformBlock = 256;
constexpr int kDeformGroup = 16;  // channels that are summed together
typedef float DeformLanes __attribute__((vector_size(kDeformGroup * sizeof(float))));

// Where the pixels begin .. begin + count of one tap read the input. The corners are upper left, upper right, lower
// left, lower right; one outside the input has inside = 0 and place = 0.
struct DeformSamples {
    int count;
    int place[4][kDeformBlock];
    float inside[4][kDeformBlock];
    float bilinear[4][kDeformBlock];
    float to_y[kDeformBlock], to_x[kDeformBlock];  // distance from the upper left corner
    float mask[kDeformBlock];
};

// A position that is not finite reads nothing.
inline void deform_samples(const float* offset, const float* mask, const DeformShape& s, int64_t n, int64_t tap,
                           int64_t begin, DeformSamples& out) {
    const int64_t pixels = s.pixels();
    const float* offset_y = offset + (n * s.taps() + tap) * 2 * pixels;
    const float* offset_x = offset_y + pixels;
    const float* modulation = mask ? mask + (n * s.taps() + tap) * pixels : nullptr;
    out.count = (int)std::min<int64_t>(kDeformBlock, pixels - begin);
    for (int i = 0; i < out.count; ++i) {
        const int64_t pixel = begin + i;
        const int64_t base_y = pixel / s.out_width * s.stride_h - s.padding_h + tap / s.kernel_w * s.dilation_h;
        const int64_t base_x = pixel % s.out_width * s.stride_w - s.padding_w + tap % s.kernel_w * s.dilation_w;
        float y = (float)base_y + offset_y[pixel], x = (float)base_x + offset_x[pixel];
        uint32_t bits_y, bits_x;  // -ffast-math takes std::isfinite for true
        std::memcpy(&bits_y, &y, sizeof y);
        std::memcpy(&bits_x, &x, sizeof x);
        const bool finite = (bits_y & 0x7f800000u) != 0x7f800000u && (bits_x & 0x7f800000u) != 0x7f800000u;
        const bool reads = finite && y >= -1.0f && x >= -1.0f && y < (float)s.height && x < (float)s.width;
        if (!reads) y = x = -1.0f;
        const int top = (int)std::floor(y), left = (int)std::floor(x);
        const float dy = y - (float)top, dx = x - (float)left;
        const bool inside_y[2] = {reads && top >= 0, reads && top + 1 < s.height};
        const bool inside_x[2] = {left >= 0, left + 1 < s.width};
        const float along_y[2] = {1.0f - dy, dy}, along_x[2] = {1.0f - dx, dx};
        for (int corner = 0; corner < 4; ++corner) {
            const int v = corner / 2, u = corner % 2;
            const bool inside = inside_y[v] && inside_x[u];
            out.inside[corner][i] = inside ? 1.0f : 0.0f;
            out.place[corner][i] = inside ? (int)((top + v) * s.width + left + u) : 0;
            out.bilinear[corner][i] = inside ? along_y[v] * along_x[u] : 0.0f;
        }
        out.to_y[i] = dy;
        out.to_x[i] = dx;
        out.mask[i] = modulation ? modulation[pixel] : 1.0f;
    }
}

// x (N, C, H, W), offset (N, 2 * taps, h, w) as y, x pairs a tap, mask (N, taps, h, w) or null
// -> columns (N, C * taps, h * w)
inline void deform_columns(const float* x, const float* offset, const float* mask, const DeformShape& s,
                           float* columns) {
    const int64_t taps = s.taps(), pixels = s.pixels(), area = s.height * s.width;
    const int64_t blocks = (pixels + kDeformBlock - 1) / kDeformBlock;
#pragma omp parallel for schedule(static)
    for (int64_t item = 0; item < s.images * taps * blocks; ++item) {
        const int64_t n = item / (taps * blocks), tap = item / blocks % taps, begin = item % blocks * kDeformBlock;
        DeformSamples at;
        deform_samples(offset, mask, s, n, tap, begin, at);
        for (int corner = 0; corner < 4; ++corner) {
            for (int i = 0; i < at.count; ++i) at.bilinear[corner][i] *= at.mask[i];
        }
        for (int64_t c = 0; c < s.channels; ++c) {
            const float* plane = x + (n * s.channels + c) * area;
            float* column = columns + ((n * s.channels + c) * taps + tap) * pixels + begin;
#pragma omp simd
            for (int i = 0; i < at.count; ++i) {
                column[i] = at.bilinear[0][i] * plane[at.place[0][i]] + at.bilinear[1][i] * plane[at.place[1][i]] +
                            at.bilinear[2][i] * plane[at.place[2][i]] + at.bilinear[3][i] * plane[at.place[3][i]];
            }
        }
    }
}

// grad_columns (N, C * taps, h * w) -> grad_x (N, C, H, W), written whole
//
// Scattered additions cannot be vectorised along the pixels. So the channels of a group lie side by side while they are
// summed, and one addition of a vector serves them all.
inline void deform_columns_grad_input(const float* grad_columns, const float* offset, const float* mask,
                                      const DeformShape& s, float* grad_x) {
    const int64_t taps = s.taps(), pixels = s.pixels(), area = s.height * s.width;
    const int64_t groups = (s.channels + kDeformGroup - 1) / kDeformGroup;
#pragma omp parallel
    {
        std::vector<float> sums(area * kDeformGroup), shares(kDeformBlock * kDeformGroup, 0.0f);
#pragma omp for schedule(dynamic, 1)
        for (int64_t item = 0; item < s.images * groups; ++item) {
            const int64_t n = item / groups, first = n * s.channels + item % groups * kDeformGroup;
            const int together = (int)std::min<int64_t>(kDeformGroup, (n + 1) * s.channels - first);
            std::fill(sums.begin(), sums.end(), 0.0f);
            DeformSamples at;
            for (int64_t tap = 0; tap < taps; ++tap) {
                for (int64_t begin = 0; begin < pixels; begin += kDeformBlock) {
                    deform_samples(offset, mask, s, n, tap, begin, at);
                    for (int c = 0; c < together; ++c) {
                        const float* grad = grad_columns + ((first + c) * taps + tap) * pixels + begin;
                        for (int i = 0; i < at.count; ++i) shares[i * kDeformGroup + c] = grad[i] * at.mask[i];
                    }
                    for (int i = 0; i < at.count; ++i) {
                        DeformLanes share, sum;
                        std::memcpy(&share, &shares[i * kDeformGroup], sizeof share);
                        for (int corner = 0; corner < 4; ++corner) {
                            float* target = &sums[(int64_t)at.place[corner][i] * kDeformGroup];
                            std::memcpy(&sum, target, sizeof sum);
                            sum += at.bilinear[corner][i] * share;
                            std::memcpy(target, &sum, sizeof sum);
                        }
                    }
                }
            }
            for (int c = 0; c < together; ++c) {
                for (int64_t i = 0; i < area; ++i) grad_x[(first + c) * area + i] = sums[i * kDeformGroup + c];
            }
        }
    }
}

// grad_columns (N, C * taps, h * w) -> grad_offset (N, 2 * taps, h, w), grad_mask (N, taps, h, w) or null
inline void deform_columns_grad_offset(const float* grad_columns, const float* x, const float* offset,
                                       const float* mask, const DeformShape& s, float* grad_offset, float* grad_mask) {
    const int64_t taps = s.taps(), pixels = s.pixels(), area = s.height * s.width;
    const int64_t blocks = (pixels + kDeformBlock - 1) / kDeformBlock;
#pragma omp parallel for schedule(static)
    for (int64_t item = 0; item < s.images * taps * blocks; ++item) {
        const int64_t n = item / (taps * blocks), tap = item / blocks % taps, begin = item % blocks * kDeformBlock;
        DeformSamples at;
        deform_samples(offset, mask, s, n, tap, begin, at);
        float sums[4][kDeformBlock] = {};  // over the channels, of grad times the value at each corner
        for (int64_t c = 0; c < s.channels; ++c) {
            const float* plane = x + (n * s.channels + c) * area;
            const float* grad = grad_columns + ((n * s.channels + c) * taps + tap) * pixels + begin;
#pragma omp simd
            for (int i = 0; i < at.count; ++i) {
                sums[0][i] += grad[i] * plane[at.place[0][i]];
                sums[1][i] += grad[i] * plane[at.place[1][i]];
                sums[2][i] += grad[i] * plane[at.place[2][i]];
                sums[3][i] += grad[i] * plane[at.place[3][i]];
            }
        }
        float* grad_y = grad_offset + (n * taps + tap) * 2 * pixels + begin;
        for (int i = 0; i < at.count; ++i) {
            const float upper_left = sums[0][i] * at.inside[0][i], upper_right = sums[1][i] * at.inside[1][i];
            const float lower_left = sums[2][i] * at.inside[2][i], lower_right = sums[3][i] * at.inside[3][i];
            const float dy = at.to_y[i], dx = at.to_x[i];
            grad_y[i] = at.mask[i] * ((1.0f - dx) * (lower_left - upper_left) + dx * (lower_right - upper_right));
            grad_y[pixels + i] = at.mask[i] * ((1.0f - dy) * (upper_right - upper_left) + dy * (lower_right - lower_left));
            if (grad_mask) {
                grad_mask[(n * taps + tap) * pixels + begin + i] =
                    (1.0f - dy) * ((1.0f - dx) * upper_left + dx * upper_right) +
                    dy * ((1.0f - dx) * lower_left + dx * lower_right);
            }
        }
    }
}

}  // namespace triseg

#endif
