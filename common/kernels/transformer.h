// What a Swin Transformer consists of beside its linear layers, on the CPU: GELU, layer norm over the last axis, and
// attention in windows, each with its gradient.
//
// The gradients start from the inputs alone: the attention's weights of all windows would be the largest array of the
// network. Sums over rows or windows are made in parts that do not depend on the number of threads, so that answers
// repeat bit for bit.
//
// Plain C++14, and right under -ffast-math too: Jittor includes this text in its own kernels.
#ifndef TRISEG_TRANSFORMER_H
#define TRISEG_TRANSFORMER_H

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace triseg {

// exp with a relative error of 2e-7 for x below 88, as 2 ** n * exp(rest): a compiler vectorises it, unlike std::exp.
inline float exponential(float x) {
    x = std::max(x, -87.0f);
    const float n = std::floor(x * 1.44269504f + 0.5f);
    const float rest = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float y = 1.9875691500e-4f;
    y = y * rest + 1.3981999507e-3f;
    y = y * rest + 8.3334519073e-3f;
    y = y * rest + 4.1665795894e-2f;
    y = y * rest + 1.6666665459e-1f;
    y = y * rest + 5.0000001201e-1f;
    y = y * rest * rest + rest + 1.0f;
    const int32_t bits = (int32_t(n) + 127) << 23;
    float power;
    std::memcpy(&power, &bits, sizeof power);
    return y * power;
}

// The normal distribution's function at x, by the complementary error function as Numerical Recipes has it: at any x
// its relative error is of 1e-7.
inline float normal(float x) {
    const float z = std::fabs(x) * 0.70710678f, t = 1.0f / (1.0f + 0.5f * z);
    float y = 0.17087277f;
    y = y * t - 0.82215223f;
    y = y * t + 1.48851587f;
    y = y * t - 1.13520398f;
    y = y * t + 0.27886807f;
    y = y * t - 0.18628806f;
    y = y * t + 0.09678418f;
    y = y * t + 0.37409196f;
    y = y * t + 1.00002368f;
    y = y * t - 1.26551223f;
    const float beyond = 0.5f * t * exponential(y - z * z);
    return x < 0.0f ? beyond : 1.0f - beyond;
}

inline void gelu_forward(const float* x, int64_t count, float* output) {
    #pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < count; ++i) output[i] = x[i] * normal(x[i]);
}

inline void gelu_backward(const float* grad_output, const float* x, int64_t count, float* grad_x) {
    #pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < count; ++i) {
        const float density = 0.398942280f * exponential(-0.5f * x[i] * x[i]);
        grad_x[i] = grad_output[i] * (normal(x[i]) + x[i] * density);
    }
}

// mean, and what a row is multiplied by
inline void layer_norm_statistics(const float* row, int64_t channels, float eps, float* mean, float* scale) {
    float sum = 0, squares = 0;
    #pragma omp simd reduction(+ : sum)
    for (int64_t c = 0; c < channels; ++c) sum += row[c];
    const float center = sum / channels;
    #pragma omp simd reduction(+ : squares)
    for (int64_t c = 0; c < channels; ++c) squares += (row[c] - center) * (row[c] - center);
    *mean = center;
    *scale = 1.0f / std::sqrt(squares / channels + eps);
}

// x (rows, channels), weight, bias (channels,)
inline void layer_norm_forward(const float* x, const float* weight, const float* bias, int64_t rows, int64_t channels,
                               float eps, float* output) {
    #pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < rows; ++r) {
        const float* from = x + r * channels;
        float* to = output + r * channels;
        float mean, scale;
        layer_norm_statistics(from, channels, eps, &mean, &scale);
        #pragma omp simd
        for (int64_t c = 0; c < channels; ++c) to[c] = (from[c] - mean) * scale * weight[c] + bias[c];
    }
}

// Adds the parts (parts, count) up.
inline void add_parts(const std::vector<float>& from, int64_t parts, int64_t count, float* output) {
    std::fill(output, output + count, 0.0f);
    for (int64_t part = 0; part < parts; ++part)
        for (int64_t i = 0; i < count; ++i) output[i] += from[part * count + i];
}

inline void layer_norm_backward(const float* grad_output, const float* x, const float* weight, int64_t rows,
                                int64_t channels, float eps, float* grad_x, float* grad_weight, float* grad_bias) {
    const int64_t parts = std::min<int64_t>(64, std::max<int64_t>(rows, 1));
    std::vector<float> weights(parts * channels), biases(parts * channels);
    #pragma omp parallel for schedule(static)
    for (int64_t part = 0; part < parts; ++part) {
        float *to_weight = weights.data() + part * channels, *to_bias = biases.data() + part * channels;
        for (int64_t r = rows * part / parts; r < rows * (part + 1) / parts; ++r) {
            const float *from = x + r * channels, *gradient = grad_output + r * channels;
            float* to = grad_x + r * channels;
            float mean, scale, sum = 0, products = 0;
            layer_norm_statistics(from, channels, eps, &mean, &scale);
            #pragma omp simd reduction(+ : sum, products)
            for (int64_t c = 0; c < channels; ++c) {
                const float normed = (from[c] - mean) * scale, weighted = gradient[c] * weight[c];
                to_weight[c] += gradient[c] * normed;
                to_bias[c] += gradient[c];
                sum += weighted;
                products += weighted * normed;
            }
            sum /= channels;
            products /= channels;
            #pragma omp simd
            for (int64_t c = 0; c < channels; ++c)
                to[c] = (gradient[c] * weight[c] - sum - (from[c] - mean) * scale * products) * scale;
        }
    }
    add_parts(weights, parts, channels, grad_weight);
    add_parts(biases, parts, channels, grad_bias);
}

struct WindowShape {
    int64_t windows, tokens, heads, size;  // size: the channels of a head

    int64_t channels() const { return heads * size; }
    int64_t wide_tokens() const { return (tokens + 7) / 8 * 8; }
    int64_t wide_size() const { return (size + 7) / 8 * 8; }
};

// Eight numbers that the compiler keeps in registers, of whatever width these are.
typedef float Eight __attribute__((vector_size(32)));

// ROWS rows of output (rows, columns) = a (rows, inner) times b (inner, columns); columns is a multiple of 8, and a is
// read by two steps, so that it may be transposed.
template <int ROWS>
void multiply_rows(const float* a, int64_t a_row, int64_t a_inner, const float* b, int64_t inner, int64_t columns,
                   float* output) {
    for (int64_t j = 0; j < columns; j += 8) {
        Eight sums[ROWS] = {}, of_b;
        for (int64_t k = 0; k < inner; ++k) {
            std::memcpy(&of_b, b + k * columns + j, sizeof of_b);
            #pragma GCC unroll 8
            for (int r = 0; r < ROWS; ++r) sums[r] += a[r * a_row + k * a_inner] * of_b;
        }
        #pragma GCC unroll 8
        for (int r = 0; r < ROWS; ++r) std::memcpy(output + r * columns + j, &sums[r], sizeof of_b);
    }
}

inline void multiply(const float* a, int64_t a_row, int64_t a_inner, const float* b, int64_t rows, int64_t inner,
                     int64_t columns, float* output) {
    int64_t r = 0;
    for (; r + 7 <= rows; r += 7, a += 7 * a_row, output += 7 * columns)
        multiply_rows<7>(a, a_row, a_inner, b, inner, columns, output);
    for (; r < rows; ++r, a += a_row, output += columns)
        multiply_rows<1>(a, a_row, a_inner, b, inner, columns, output);
}

// One window's queries, keys and values of one head, and its attention; rows are filled up with zeros to wide ones.
struct Window {
    WindowShape shape;
    std::vector<float> q, k, v, k_columns, v_columns, weights;

    explicit Window(const WindowShape& s)
        : shape(s), q(s.tokens * s.wide_size()), k(q.size()), v(q.size()), k_columns(s.wide_size() * s.wide_tokens()),
          v_columns(k_columns.size()), weights(s.tokens * s.wide_tokens()) {}

    float factor() const { return 1.0f / std::sqrt(float(shape.size)); }

    // qkv: the window's (tokens, 3, heads, size); bias, mask (tokens, tokens)
    void attend(const float* qkv, const float* bias, const float* mask, int64_t head) {
        const int64_t tokens = shape.tokens, wide = shape.wide_tokens(), channels = shape.channels();
        for (int64_t t = 0; t < tokens; ++t) {
            const float* from = qkv + t * 3 * channels + head * shape.size;
            for (int64_t c = 0; c < shape.size; ++c) {
                q[t * shape.wide_size() + c] = from[c] * factor();
                k[t * shape.wide_size() + c] = k_columns[c * wide + t] = from[channels + c];
                v[t * shape.wide_size() + c] = v_columns[c * wide + t] = from[2 * channels + c];
            }
        }
        multiply(q.data(), shape.wide_size(), 1, k_columns.data(), tokens, shape.size, wide, weights.data());
        for (int64_t t = 0; t < tokens; ++t) softmax(&weights[t * wide], bias + t * tokens, mask + t * tokens);
    }

    void softmax(float* row, const float* bias, const float* mask) const {
        float peak = -3e38f, sum = 0;
        #pragma omp simd reduction(max : peak)
        for (int64_t s = 0; s < shape.tokens; ++s) {
            row[s] += bias[s] + mask[s];
            peak = std::max(peak, row[s]);
        }
        #pragma omp simd reduction(+ : sum)
        for (int64_t s = 0; s < shape.tokens; ++s) {
            row[s] = exponential(row[s] - peak);
            sum += row[s];
        }
        const float share = 1.0f / sum;
        #pragma omp simd
        for (int64_t s = 0; s < shape.tokens; ++s) row[s] *= share;
    }
};

// qkv (windows, tokens, 3, heads, size), bias (heads, tokens, tokens), masks (M, tokens, tokens), kinds (windows,): the
// mask of each window -> output (windows, tokens, heads, size)
inline void window_attention_forward(const float* qkv, const float* bias, const float* masks, const int32_t* kinds,
                                     const WindowShape& shape, float* output) {
    const int64_t tokens = shape.tokens, channels = shape.channels(), wide = shape.wide_size();
    #pragma omp parallel
    {
        Window window(shape);
        std::vector<float> mixed(tokens * wide);
        #pragma omp for schedule(static)
        for (int64_t w = 0; w < shape.windows; ++w) {
            for (int64_t head = 0; head < shape.heads; ++head) {
                const float* mask = masks + kinds[w] * tokens * tokens;
                window.attend(qkv + w * tokens * 3 * channels, bias + head * tokens * tokens, mask, head);
                multiply(window.weights.data(), shape.wide_tokens(), 1, window.v.data(), tokens, tokens, wide,
                         mixed.data());
                float* to = output + w * tokens * channels + head * shape.size;
                for (int64_t t = 0; t < tokens; ++t)
                    std::memcpy(to + t * channels, &mixed[t * wide], shape.size * sizeof(float));
            }
        }
    }
}

inline void window_attention_backward(const float* grad_output, const float* qkv, const float* bias,
                                      const float* masks, const int32_t* kinds, const WindowShape& shape,
                                      float* grad_qkv, float* grad_bias) {
    const int64_t tokens = shape.tokens, channels = shape.channels();
    const int64_t wide = shape.wide_size(), row = shape.wide_tokens(), square = tokens * tokens;
    const int64_t parts = std::min<int64_t>(16, std::max<int64_t>(shape.windows, 1));
    std::vector<float> biases(parts * shape.heads * square);
    #pragma omp parallel
    {
        Window window(shape);
        std::vector<float> gradient(tokens * wide), to_q(tokens * wide), to_k(tokens * wide), to_v(tokens * wide);
        std::vector<float> slopes(tokens * row);
        #pragma omp for schedule(static)
        for (int64_t part = 0; part < parts; ++part) {
            for (int64_t w = shape.windows * part / parts; w < shape.windows * (part + 1) / parts; ++w) {
                for (int64_t head = 0; head < shape.heads; ++head) {
                    const float* mask = masks + kinds[w] * square;
                    window.attend(qkv + w * tokens * 3 * channels, bias + head * square, mask, head);
                    const float* from = grad_output + w * tokens * channels + head * shape.size;
                    for (int64_t t = 0; t < tokens; ++t)
                        std::memcpy(&gradient[t * wide], from + t * channels, shape.size * sizeof(float));
                    multiply(window.weights.data(), 1, row, gradient.data(), tokens, tokens, wide, to_v.data());
                    multiply(gradient.data(), wide, 1, window.v_columns.data(), tokens, shape.size, row, slopes.data());
                    float* to_bias = biases.data() + (part * shape.heads + head) * square;
                    for (int64_t t = 0; t < tokens; ++t) {
                        float *slope = &slopes[t * row], mean = 0;
                        const float* weight = &window.weights[t * row];
                        #pragma omp simd reduction(+ : mean)
                        for (int64_t s = 0; s < tokens; ++s) mean += weight[s] * slope[s];
                        #pragma omp simd
                        for (int64_t s = 0; s < tokens; ++s) {
                            slope[s] = weight[s] * (slope[s] - mean);
                            to_bias[t * tokens + s] += slope[s];
                        }
                    }
                    multiply(slopes.data(), row, 1, window.k.data(), tokens, tokens, wide, to_q.data());
                    multiply(slopes.data(), 1, row, window.q.data(), tokens, tokens, wide, to_k.data());
                    float* to = grad_qkv + w * tokens * 3 * channels + head * shape.size;
                    for (int64_t t = 0; t < tokens; ++t) {
                        for (int64_t c = 0; c < shape.size; ++c) {
                            to[t * 3 * channels + c] = to_q[t * wide + c] * window.factor();
                            to[(t * 3 + 1) * channels + c] = to_k[t * wide + c];
                            to[(t * 3 + 2) * channels + c] = to_v[t * wide + c];
                        }
                    }
                }
            }
        }
    }
    add_parts(biases, parts, shape.heads * square, grad_bias);
}

}  // namespace triseg

#endif
