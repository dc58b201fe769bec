// A step of SGD or Adam on the CPU, each array read and written once, and the squares that the gradient's norm is of.
#ifndef TRISEG_OPTIMIZERS_H
#define TRISEG_OPTIMIZERS_H

#include <cmath>
#include <cstdint>

namespace triseg {

// In float64: of 10 million float32 numbers, added up one by one, the sum would be off by 1e-3.
inline double sum_of_squares(const float* x, int64_t count) {
    double sum = 0;
    #pragma omp parallel for simd schedule(static) reduction(+ : sum)
    for (int64_t i = 0; i < count; ++i) sum += double(x[i]) * double(x[i]);
    return sum;
}

// scale: what the gradient is multiplied by first, to clip it; decay: a part of the gradient, not of the rate alone
struct SgdRule {
    float scale, rate, decay, momentum;
};

inline void sgd_step(float* parameter, const float* gradient, float* buffer, int64_t count, const SgdRule& rule) {
    #pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < count; ++i) {
        buffer[i] = rule.momentum * buffer[i] + (rule.scale * gradient[i] + rule.decay * parameter[i]);
        parameter[i] -= rule.rate * buffer[i];
    }
}

// decay: a part of the gradient (Adam); shrinking: of the parameter itself, the rate times the decay (AdamW)
// size, root: the rate and the root of the second moment are divided by these, as few steps make the moments small
struct AdamRule {
    float scale, rate, decay, shrinking, first, second, size, root, epsilon;
};

inline void adam_step(float* parameter, const float* gradient, float* mean, float* square, int64_t count,
                      const AdamRule& rule) {
    #pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < count; ++i) {
        const float old = parameter[i] - rule.shrinking * parameter[i];
        const float g = rule.scale * gradient[i] + rule.decay * parameter[i];
        mean[i] += (1 - rule.first) * (g - mean[i]);
        square[i] = rule.second * square[i] + (1 - rule.second) * g * g;
        parameter[i] = old - rule.rate / rule.size * mean[i] / (std::sqrt(square[i]) / rule.root + rule.epsilon);
    }
}

}  // namespace triseg

#endif
