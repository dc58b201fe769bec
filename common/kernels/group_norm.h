// Group norm on the CPU: each image's groups of channels normalised by their own statistics, and its gradient.
//
// Plain C++14, right under -ffast-math too, and to be read behind batch_norm.h, whose statistics it takes: a group of
// an image is to them what a channel is. Jittor includes both texts in its own kernels.
#ifndef TRISEG_GROUP_NORM_H
#define TRISEG_GROUP_NORM_H

#include <vector>

namespace triseg {

struct GroupNormShape {
    int64_t images, channels, groups, area;

    int64_t together() const { return channels / groups; }
    BatchNormShape as_channels() const { return {1, images * groups, together() * area}; }
};

// x (images, channels, area), weight, bias (channels,) -> output
inline void group_norm_forward(const float* x, const float* weight, const float* bias, const GroupNormShape& shape,
                               float eps, float* output) {
    std::vector<float> mean(shape.images * shape.groups), variance(mean.size());
    batch_norm_statistics(x, shape.as_channels(), mean.data(), variance.data());
    #pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < shape.images * shape.channels; ++row) {
        const int64_t group = row / shape.together(), c = row % shape.channels;
        const float center = mean[group], scale = weight[c] / std::sqrt(variance[group] + eps), shift = bias[c];
        const float* from = x + row * shape.area;
        float* to = output + row * shape.area;
        for (int64_t i = 0; i < shape.area; ++i) to[i] = (from[i] - center) * scale + shift;
    }
}

// The statistics are computed again.
inline void group_norm_backward(const float* grad_output, const float* x, const float* weight,
                                const GroupNormShape& shape, float eps, float* grad_x, float* grad_weight,
                                float* grad_bias) {
    const int64_t rows = shape.images * shape.channels;
    std::vector<float> mean(shape.images * shape.groups), variance(mean.size());
    std::vector<double> sums(rows), products(rows);  // of a channel's gradients, and of these times its numbers
    batch_norm_statistics(x, shape.as_channels(), mean.data(), variance.data());
    #pragma omp parallel for schedule(static)
    for (int64_t group = 0; group < shape.images * shape.groups; ++group) {
        const float center = mean[group], inverse = 1.0f / std::sqrt(variance[group] + eps);
        double weighted = 0, slopes = 0;
        for (int64_t row = group * shape.together(); row < (group + 1) * shape.together(); ++row) {
            const float *from = x + row * shape.area, *gradient = grad_output + row * shape.area;
            double sum = 0, product = 0;
            #pragma omp simd reduction(+ : sum, product)
            for (int64_t i = 0; i < shape.area; ++i) {
                sum += gradient[i];
                product += double(gradient[i]) * (from[i] - center);
            }
            sums[row] = sum;
            products[row] = product * inverse;
            weighted += sum * weight[row % shape.channels];
            slopes += products[row] * weight[row % shape.channels];
        }
        const double count = double(shape.together() * shape.area);
        const float shift = float(weighted / count), slope = float(slopes / count * inverse);
        for (int64_t row = group * shape.together(); row < (group + 1) * shape.together(); ++row) {
            const float *from = x + row * shape.area, *gradient = grad_output + row * shape.area;
            const float scale = weight[row % shape.channels];
            float* to = grad_x + row * shape.area;
            for (int64_t i = 0; i < shape.area; ++i)
                to[i] = (gradient[i] * scale - shift - (from[i] - center) * slope) * inverse;
        }
    }
    for (int64_t c = 0; c < shape.channels; ++c) {
        double sum = 0, product = 0;
        for (int64_t row = c; row < rows; row += shape.channels) {
            sum += sums[row];
            product += products[row];
        }
        grad_bias[c] = float(sum);
        grad_weight[c] = float(product);
    }
}

}  // namespace triseg

#endif
