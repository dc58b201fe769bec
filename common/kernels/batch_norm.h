// Batch norm in training on the CPU: (N, C, area) normalised by each channel's own statistics, and its gradient.
//
// Sums are of float64. Of 100 000 float32 numbers, added up one by one, a variance would be off by 1e-4, and each norm
// behind it makes more of that.
//
// Plain C++14, and right under -ffast-math too: Jittor includes this text in its own kernels.
#ifndef TRISEG_BATCH_NORM_H
#define TRISEG_BATCH_NORM_H

#include <cmath>
#include <cstdint>

namespace triseg {

struct BatchNormShape {
    int64_t images, channels, area;

    int64_t start(int64_t image, int64_t channel) const { return (image * channels + channel) * area; }
    double count() const { return double(images) * double(area); }
};

// mean, variance (C,): the variance is the biased one
inline void batch_norm_statistics(const float* x, const BatchNormShape& shape, float* mean, float* variance) {
    #pragma omp parallel for schedule(static)
    for (int64_t c = 0; c < shape.channels; ++c) {
        double sum = 0, squares = 0;
        for (int64_t n = 0; n < shape.images; ++n) {
            const float* from = x + shape.start(n, c);
            #pragma omp simd reduction(+ : sum)
            for (int64_t i = 0; i < shape.area; ++i) sum += from[i];
        }
        const double center = sum / shape.count();
        for (int64_t n = 0; n < shape.images; ++n) {
            const float* from = x + shape.start(n, c);
            #pragma omp simd reduction(+ : squares)
            for (int64_t i = 0; i < shape.area; ++i) squares += (from[i] - center) * (from[i] - center);
        }
        mean[c] = float(center);
        variance[c] = float(squares / shape.count());
    }
}

inline void batch_norm_forward(const float* x, const float* weight, const float* bias, const BatchNormShape& shape,
                               float eps, float* output, float* mean, float* variance) {
    batch_norm_statistics(x, shape, mean, variance);
    #pragma omp parallel for schedule(static)
    for (int64_t c = 0; c < shape.channels; ++c) {
        const float center = mean[c], scale = weight[c] / std::sqrt(variance[c] + eps), shift = bias[c];
        for (int64_t n = 0; n < shape.images; ++n) {
            const float* from = x + shape.start(n, c);
            float* to = output + shape.start(n, c);
            for (int64_t i = 0; i < shape.area; ++i) to[i] = (from[i] - center) * scale + shift;
        }
    }
}

// mean, variance: as batch_norm_forward gave them
inline void batch_norm_backward(const float* grad_output, const float* x, const float* weight, const float* mean,
                                const float* variance, const BatchNormShape& shape, float eps, float* grad_x,
                                float* grad_weight, float* grad_bias) {
    #pragma omp parallel for schedule(static)
    for (int64_t c = 0; c < shape.channels; ++c) {
        const float center = mean[c], inverse = 1.0f / std::sqrt(variance[c] + eps), scale = weight[c] * inverse;
        double sum = 0, products = 0;
        for (int64_t n = 0; n < shape.images; ++n) {
            const float *from = x + shape.start(n, c), *gradient = grad_output + shape.start(n, c);
            #pragma omp simd reduction(+ : sum, products)
            for (int64_t i = 0; i < shape.area; ++i) {
                sum += gradient[i];
                products += double(gradient[i]) * (from[i] - center);
            }
        }
        grad_bias[c] = float(sum);
        grad_weight[c] = float(products * inverse);
        const float mean_gradient = float(sum / shape.count());
        const float slope = float(products * inverse * inverse / shape.count());
        for (int64_t n = 0; n < shape.images; ++n) {
            const float *from = x + shape.start(n, c), *gradient = grad_output + shape.start(n, c);
            float* to = grad_x + shape.start(n, c);
            for (int64_t i = 0; i < shape.area; ++i)
                to[i] = (gradient[i] - mean_gradient - (from[i] - center) * slope) * scale;
        }
    }
}

}  // namespace triseg

#endif
