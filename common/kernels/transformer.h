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

// Of whole numbers, as -ffast-math takes it that no number is NaN.
inline bool is_nan(float x) {
    int32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    return (bits & 0x7fffffff) > 0x7f800000;
}

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

// The normal distribution's function at x, by a quotient of polynomials for the error function: within 1e-7 of it.
inline float normal(float given) {
    const float x = std::min(std::max(given * 0.70710678f, -4.0f), 4.0f), square = x * x;
    float above = -2.72614225801306e-10f, below = -1.45660718464996e-05f;
    above = above * square + 2.77068142495902e-08f;
    above = above * square - 2.10102402082508e-06f;
    above = above * square - 5.69250639462346e-05f;
    above = above * square - 7.34990630326855e-04f;
    above = above * square - 2.95459980854025e-03f;
    above = above * square - 1.60960333262415e-02f;
    below = below * square - 2.13374055278905e-04f;
    below = below * square - 1.68282697438203e-03f;
    below = below * square - 7.37332916720468e-03f;
    below = below * square - 1.42647390514189e-02f;
    return is_nan(given) ? given : 0.5f + 0.5f * (x * above / below);
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
    // In float64, as -ffast-math multiplies by a rounded reciprocal, which moves the means of all rows to one side.
    const float center = float(double(sum) / double(channels));
    #pragma omp simd reduction(+ : squares)
    for (int64_t c = 0; c < channels; ++c) squares += (row[c] - center) * (row[c] - center);
    *mean = center;
    *scale = float(1.0 / std::sqrt(double(squares) / double(channels) + double(eps)));
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
    std::vector<double> sums(count);
    for (int64_t part = 0; part < parts; ++part)
        for (int64_t i = 0; i < count; ++i) sums[i] += from[part * count + i];
    for (int64_t i = 0; i < count; ++i) output[i] = float(sums[i]);
}

inline void layer_norm_backward(const float* grad_output, const float* x, const float* weight, int64_t rows,
                                int64_t channels, float eps, float* grad_x, float* grad_weight, float* grad_bias) {
    const int64_t together = 256, parts = (rows + together - 1) / together;
    std::vector<float> weights(parts * channels), biases(parts * channels);
    #pragma omp parallel for schedule(static)
    for (int64_t part = 0; part < parts; ++part) {
        float *to_weight = weights.data() + part * channels, *to_bias = biases.data() + part * channels;
        for (int64_t r = part * together; r < std::min((part + 1) * together, rows); ++r) {
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

// Eight numbers that the compiler keeps in registers, of whatever width these are.
typedef float Eight __attribute__((vector_size(32)));

// ROWS rows and EIGHTS times eight columns of a (rows, inner) times b (inner, columns); rows of b and output stand
// `columns` apart, and a is read by two steps, so that it may be transposed.
template <int ROWS, int EIGHTS>
void multiply_tile(const float* a, int64_t a_row, int64_t a_inner, const float* b, int64_t inner, int64_t columns,
                   float* output) {
    Eight sums[ROWS][EIGHTS] = {}, of_b[EIGHTS];
    for (int64_t k = 0; k < inner; ++k) {
        #pragma GCC unroll 2
        for (int e = 0; e < EIGHTS; ++e) std::memcpy(&of_b[e], b + k * columns + e * 8, sizeof(Eight));
        #pragma GCC unroll 6
        for (int r = 0; r < ROWS; ++r)
            #pragma GCC unroll 2
            for (int e = 0; e < EIGHTS; ++e) sums[r][e] += a[r * a_row + k * a_inner] * of_b[e];
    }
    #pragma GCC unroll 6
    for (int r = 0; r < ROWS; ++r)
        #pragma GCC unroll 2
        for (int e = 0; e < EIGHTS; ++e) std::memcpy(output + r * columns + e * 8, &sums[r][e], sizeof(Eight));
}

template <int ROWS>
void multiply_rows(const float* a, int64_t a_row, int64_t a_inner, const float* b, int64_t inner, int64_t columns,
                   float* output) {
    int64_t j = 0;
    for (; j + 16 <= columns; j += 16)
        multiply_tile<ROWS, 2>(a, a_row, a_inner, b + j, inner, columns, output + j);
    if (j < columns) multiply_tile<ROWS, 1>(a, a_row, a_inner, b + j, inner, columns, output + j);
}

// output (rows, columns) = a (rows, inner) times b (inner, columns); columns is a multiple of 8
inline void multiply(const float* a, int64_t a_row, int64_t a_inner, const float* b, int64_t rows, int64_t inner,
                     int64_t columns, float* output) {
    int64_t r = 0;
    for (; r + 6 <= rows; r += 6, a += 6 * a_row, output += 6 * columns)
        multiply_rows<6>(a, a_row, a_inner, b, inner, columns, output);
    for (; r < rows; ++r, a += a_row, output += columns)
        multiply_rows<1>(a, a_row, a_inner, b, inner, columns, output);
}

// The tokens of one head, and how its arrays are held: rows are filled up with zeros to whole eights.
struct HeadShape {
    int64_t tokens, size;  // size: the channels of a head

    int64_t wide_tokens() const { return (tokens + 7) / 8 * 8; }
    int64_t wide_size() const { return (size + 7) / 8 * 8; }
    int64_t rows() const { return tokens * wide_size(); }
    int64_t columns() const { return size * wide_tokens(); }
    float factor() const { return 1.0f / std::sqrt(float(size)); }

    // tokens `step` apart -> (tokens, wide_size)
    void take_rows(const float* from, int64_t step, float times, float* to) const {
        for (int64_t t = 0; t < tokens; ++t)
            for (int64_t c = 0; c < size; ++c) to[t * wide_size() + c] = from[t * step + c] * times;
    }

    // tokens `step` apart -> (size, wide_tokens)
    void take_columns(const float* from, int64_t step, float* to) const {
        for (int64_t t = 0; t < tokens; ++t)
            for (int64_t c = 0; c < size; ++c) to[c * wide_tokens() + t] = from[t * step + c];
    }

    void put_rows(const float* from, float times, float* to, int64_t step) const {
        for (int64_t t = 0; t < tokens; ++t)
            for (int64_t c = 0; c < size; ++c) to[t * step + c] = from[t * wide_size() + c] * times;
    }
};

struct WindowShape {
    int64_t windows, tokens, heads, size;  // size: the channels of a head

    HeadShape head() const { return {tokens, size}; }
    int64_t channels() const { return heads * size; }
    int64_t square() const { return tokens * head().wide_tokens(); }

    // part: 0, 1, 2 of queries, keys, values
    int64_t in_qkv(int64_t window, int64_t part, int64_t number) const {
        return (window * tokens * 3 + part) * channels() + number * size;
    }

    // q (tokens, wide_size), k (size, wide_tokens), bias, mask (tokens, tokens) -> weights (tokens, wide_tokens)
    void attend(const float* q, const float* k, const float* bias, const float* mask, float* weights) const {
        const int64_t row = head().wide_tokens();
        multiply(q, head().wide_size(), 1, k, tokens, size, row, weights);
        for (int64_t t = 0; t < tokens; ++t) softmax(weights + t * row, bias + t * tokens, mask + t * tokens);
    }

    void softmax(float* row, const float* bias, const float* mask) const {
        float peak = -3e38f, all = 0, sum = 0;
        #pragma omp simd reduction(max : peak) reduction(+ : all)
        for (int64_t s = 0; s < tokens; ++s) {
            row[s] += bias[s] + mask[s];
            peak = std::max(peak, row[s]);
            all += row[s];
        }
        #pragma omp simd reduction(+ : sum)
        for (int64_t s = 0; s < tokens; ++s) {
            row[s] = exponential(row[s] - peak);
            sum += row[s];
        }
        const float share = is_nan(all) ? all : 1.0f / sum;  // under -ffast-math `exponential` may lose a NaN
        #pragma omp simd
        for (int64_t s = 0; s < tokens; ++s) row[s] *= share;
    }
};

// qkv (windows, tokens, 3, heads, size), bias (heads, tokens, tokens), masks (M, tokens, tokens), kinds (windows,): the
// mask of each window -> output (windows, tokens, heads, size)
inline void window_attention_forward(const float* qkv, const float* bias, const float* masks, const int32_t* kinds,
                                     const WindowShape& shape, float* output) {
    const HeadShape one = shape.head();
    const int64_t tokens = shape.tokens, channels = shape.channels(), pairs = tokens * tokens;
    #pragma omp parallel
    {
        std::vector<float> q(one.rows()), k(one.columns()), v(one.rows()), mixed(one.rows());
        std::vector<float> weights(shape.square());
        #pragma omp for schedule(static)
        for (int64_t each = 0; each < shape.windows * shape.heads; ++each) {
            const int64_t w = each / shape.heads, head = each % shape.heads;
            one.take_rows(qkv + shape.in_qkv(w, 0, head), 3 * channels, one.factor(), q.data());
            one.take_columns(qkv + shape.in_qkv(w, 1, head), 3 * channels, k.data());
            one.take_rows(qkv + shape.in_qkv(w, 2, head), 3 * channels, 1.0f, v.data());
            shape.attend(q.data(), k.data(), bias + head * pairs, masks + kinds[w] * pairs, weights.data());
            multiply(weights.data(), one.wide_tokens(), 1, v.data(), tokens, tokens, one.wide_size(), mixed.data());
            one.put_rows(mixed.data(), 1.0f, output + w * tokens * channels + head * shape.size, channels);
        }
    }
}

inline void window_attention_backward(const float* grad_output, const float* qkv, const float* bias,
                                      const float* masks, const int32_t* kinds, const WindowShape& shape,
                                      float* grad_qkv, float* grad_bias) {
    const HeadShape one = shape.head();
    const int64_t tokens = shape.tokens, channels = shape.channels(), pairs = tokens * tokens;
    const int64_t wide = one.wide_size(), row = one.wide_tokens();
    const int64_t together = 64, parts = (shape.windows + together - 1) / together;
    std::vector<float> biases(parts * shape.heads * pairs);
    #pragma omp parallel
    {
        std::vector<float> q(one.rows()), k(one.rows()), gradient(one.rows()), product(one.rows());
        std::vector<float> k_columns(one.columns()), v_columns(one.columns());
        std::vector<float> weights(shape.square()), slopes(shape.square());
        #pragma omp for schedule(static)
        for (int64_t each = 0; each < parts * shape.heads; ++each) {
            const int64_t part = each / shape.heads, head = each % shape.heads;
            float* to_bias = biases.data() + each * pairs;
            for (int64_t w = part * together; w < std::min((part + 1) * together, shape.windows); ++w) {
                const int64_t of_q = shape.in_qkv(w, 0, head), of_k = of_q + channels, of_v = of_k + channels;
                one.take_rows(qkv + of_q, 3 * channels, one.factor(), q.data());
                one.take_rows(qkv + of_k, 3 * channels, 1.0f, k.data());
                one.take_columns(qkv + of_k, 3 * channels, k_columns.data());
                one.take_columns(qkv + of_v, 3 * channels, v_columns.data());
                const float* from = grad_output + w * tokens * channels + head * shape.size;
                one.take_rows(from, channels, 1.0f, gradient.data());
                shape.attend(q.data(), k_columns.data(), bias + head * pairs, masks + kinds[w] * pairs, weights.data());

                multiply(weights.data(), 1, row, gradient.data(), tokens, tokens, wide, product.data());
                one.put_rows(product.data(), 1.0f, grad_qkv + of_v, 3 * channels);
                multiply(gradient.data(), wide, 1, v_columns.data(), tokens, shape.size, row, slopes.data());
                for (int64_t t = 0; t < tokens; ++t) {
                    float *slope = &slopes[t * row], mean = 0;
                    const float* weight = &weights[t * row];
                    #pragma omp simd reduction(+ : mean)
                    for (int64_t s = 0; s < tokens; ++s) mean += weight[s] * slope[s];
                    #pragma omp simd
                    for (int64_t s = 0; s < tokens; ++s) {
                        slope[s] = weight[s] * (slope[s] - mean);
                        to_bias[t * tokens + s] += slope[s];
                    }
                }
                multiply(slopes.data(), row, 1, k.data(), tokens, tokens, wide, product.data());
                one.put_rows(product.data(), one.factor(), grad_qkv + of_q, 3 * channels);
                multiply(slopes.data(), 1, row, q.data(), tokens, tokens, wide, product.data());
                one.put_rows(product.data(), 1.0f, grad_qkv + of_k, 3 * channels);
            }
        }
    }
    add_parts(biases, parts, shape.heads * pairs, grad_bias);
}

}  // namespace triseg

#endif
