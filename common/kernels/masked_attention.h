// Attention in several heads between queries and the keys of values, of which a query does not see some, on the CPU,
// with its gradients.
//
// Keys are taken some at a time, so that their weights stay in the cache, and those of all keys are nowhere: a softmax
// is carried from part to part, and scaled anew where a larger logit comes. The gradients start from the inputs alone.
// A head of an image is one thread's, so that answers repeat bit for bit.
//
// Plain C++14, right under -ffast-math too, and to be read behind transformer.h, whose products it takes: Jittor
// includes both texts in its own kernels.
#ifndef TRISEG_MASKED_ATTENTION_H
#define TRISEG_MASKED_ATTENTION_H

namespace triseg {

struct AttentionShape {
    int64_t images, queries, keys, heads, size;  // size: the channels of a head

    static constexpr int64_t together = 256;  // keys of a part

    int64_t channels() const { return heads * size; }
    HeadShape head() const { return {queries, size}; }
    HeadShape part(int64_t start) const { return {keys - start < together ? keys - start : together, size}; }
    HeadShape whole_part() const { return {together, size}; }

    // Where the numbers of a head begin in an array of so many tokens an image.
    int64_t in(int64_t tokens, int64_t image, int64_t number) const {
        return image * tokens * channels() + number * size;
    }
};

const float UNSEEN = -3e38f;  // the logit of a key that a query does not see

// A query's softmax so far: the largest logit, and the sum of all weights relative to it.
struct Softmax {
    float peak = UNSEEN, sum = 0;

    // Makes of a part's logits weights relative to the largest so far -> what the sums so far are multiplied by.
    float add(float* logits, const uint8_t* hidden, int64_t count) {
        float largest = peak, all = 0, part = 0;
        #pragma omp simd reduction(max : largest) reduction(+ : all)
        for (int64_t s = 0; s < count; ++s) {
            logits[s] = hidden[s] ? UNSEEN : logits[s];
            largest = std::max(largest, logits[s]);
            all += logits[s] * 1e-10f;  // small enough for the sum of all that are not seen
        }
        #pragma omp simd reduction(+ : part)
        for (int64_t s = 0; s < count; ++s) {
            const float weight = exponential(logits[s] - largest);
            logits[s] = hidden[s] ? 0.0f : weight;
            part += logits[s];
        }
        const float before = sum == 0.0f ? 0.0f : exponential(peak - largest);
        sum = sum * before + (is_nan(all) ? all : part);  // under -ffast-math `exponential` may lose a NaN
        peak = largest;
        return before;
    }

    // Makes of a part's logits its weights, once the sum of all parts is known.
    void weigh(float* logits, const uint8_t* hidden, int64_t count) const {
        const float share = 1.0f / sum;
        #pragma omp simd
        for (int64_t s = 0; s < count; ++s) {
            const float weight = exponential(logits[s] - peak) * share;
            logits[s] = hidden[s] ? 0.0f : weight;
        }
    }
};

// q (queries, wide_size), k, v: the keys' and values' rows of a head, `channels` apart, hidden (queries, keys)
// -> the softmax of each query, and the sums of the values by its weights (queries, wide_size), not divided by its sum
inline void attend_by_parts(const float* q, const float* k, const float* v, const uint8_t* hidden,
                            const AttentionShape& shape, Softmax* softmaxes, float* mixed) {
    const HeadShape head = shape.head(), whole = shape.whole_part();
    const int64_t wide = head.wide_size(), channels = shape.channels();
    std::vector<float> columns(whole.columns()), rows(whole.rows()), product(head.rows());
    std::vector<float> weights(shape.queries * whole.wide_tokens());
    std::fill(softmaxes, softmaxes + shape.queries, Softmax());
    std::fill(mixed, mixed + head.rows(), 0.0f);
    for (int64_t start = 0; start < shape.keys; start += shape.together) {
        const HeadShape part = shape.part(start);
        const int64_t row = part.wide_tokens();
        part.take_columns(k + start * channels, channels, columns.data());
        part.take_rows(v + start * channels, channels, 1.0f, rows.data());
        multiply(q, wide, 1, columns.data(), shape.queries, shape.size, row, weights.data());
        for (int64_t t = 0; t < shape.queries; ++t) {
            float* sums = mixed + t * wide;
            const float before = softmaxes[t].add(&weights[t * row], hidden + t * shape.keys + start, part.tokens);
            for (int64_t c = 0; c < wide; ++c) sums[c] *= before;
        }
        multiply(weights.data(), row, 1, rows.data(), shape.queries, part.tokens, wide, product.data());
        for (int64_t i = 0; i < head.rows(); ++i) mixed[i] += product[i];
    }
}

// q (images, queries, heads, size), k, v (images, keys, heads, size) -> output (images, queries, heads, size)
// hidden (images, queries, keys): which keys a query does not see, never all
inline void masked_attention_forward(const float* q, const float* k, const float* v, const uint8_t* hidden,
                                     const AttentionShape& shape, float* output) {
    const HeadShape head = shape.head();
    const int64_t wide = head.wide_size(), channels = shape.channels();
    #pragma omp parallel
    {
        std::vector<float> rows(head.rows()), mixed(head.rows());
        std::vector<Softmax> softmaxes(shape.queries);
        #pragma omp for schedule(static)
        for (int64_t each = 0; each < shape.images * shape.heads; ++each) {
            const int64_t image = each / shape.heads, number = each % shape.heads;
            const int64_t of_q = shape.in(shape.queries, image, number), of_k = shape.in(shape.keys, image, number);
            head.take_rows(q + of_q, channels, head.factor(), rows.data());
            attend_by_parts(rows.data(), k + of_k, v + of_k, hidden + image * shape.queries * shape.keys, shape,
                            softmaxes.data(), mixed.data());
            for (int64_t t = 0; t < shape.queries; ++t)
                for (int64_t c = 0; c < wide; ++c) mixed[t * wide + c] /= softmaxes[t].sum;
            head.put_rows(mixed.data(), 1.0f, output + of_q, channels);
        }
    }
}

// The gradients of one head; q, k, v, grad_output and the gradients begin at its numbers, hidden (queries, keys).
inline void masked_attention_head_backward(const float* grad_output, const float* q, const float* k, const float* v,
                                           const uint8_t* hidden, const AttentionShape& shape, float* grad_q,
                                           float* grad_k, float* grad_v) {
    const HeadShape head = shape.head(), whole = shape.whole_part();
    const int64_t wide = head.wide_size(), channels = shape.channels();
    std::vector<float> q_rows(head.rows()), mixed(head.rows()), gradient(head.rows()), sums(head.rows());
    std::vector<float> k_rows(whole.rows()), k_columns(whole.columns()), v_columns(whole.columns());
    std::vector<float> weights(shape.queries * whole.wide_tokens()), slopes(weights.size()), means(shape.queries);
    std::vector<float> product(std::max(head.rows(), whole.rows()));
    std::vector<Softmax> softmaxes(shape.queries);
    head.take_rows(q, channels, head.factor(), q_rows.data());
    head.take_rows(grad_output, channels, 1.0f, gradient.data());
    attend_by_parts(q_rows.data(), k, v, hidden, shape, softmaxes.data(), mixed.data());
    for (int64_t t = 0; t < shape.queries; ++t) {
        for (int64_t c = 0; c < wide; ++c) means[t] += gradient[t * wide + c] * mixed[t * wide + c];
        means[t] /= softmaxes[t].sum;
    }
    for (int64_t start = 0; start < shape.keys; start += shape.together) {
        const HeadShape part = shape.part(start);
        const int64_t row = part.wide_tokens(), at = start * channels;
        part.take_rows(k + at, channels, 1.0f, k_rows.data());
        part.take_columns(k + at, channels, k_columns.data());
        part.take_columns(v + at, channels, v_columns.data());
        multiply(q_rows.data(), wide, 1, k_columns.data(), shape.queries, shape.size, row, weights.data());
        multiply(gradient.data(), wide, 1, v_columns.data(), shape.queries, shape.size, row, slopes.data());
        for (int64_t t = 0; t < shape.queries; ++t) {
            float *weight = &weights[t * row], *slope = &slopes[t * row];
            softmaxes[t].weigh(weight, hidden + t * shape.keys + start, part.tokens);
            #pragma omp simd
            for (int64_t s = 0; s < part.tokens; ++s) slope[s] = weight[s] * (slope[s] - means[t]);
        }
        multiply(weights.data(), 1, row, gradient.data(), part.tokens, shape.queries, wide, product.data());
        part.put_rows(product.data(), 1.0f, grad_v + at, channels);
        multiply(slopes.data(), 1, row, q_rows.data(), part.tokens, shape.queries, wide, product.data());
        part.put_rows(product.data(), 1.0f, grad_k + at, channels);
        multiply(slopes.data(), row, 1, k_rows.data(), shape.queries, part.tokens, wide, product.data());
        for (int64_t i = 0; i < head.rows(); ++i) sums[i] += product[i];
    }
    head.put_rows(sums.data(), head.factor(), grad_q, channels);
}

inline void masked_attention_backward(const float* grad_output, const float* q, const float* k, const float* v,
                                      const uint8_t* hidden, const AttentionShape& shape, float* grad_q,
                                      float* grad_k, float* grad_v) {
    #pragma omp parallel for schedule(static)
    for (int64_t each = 0; each < shape.images * shape.heads; ++each) {
        const int64_t image = each / shape.heads, number = each % shape.heads;
        const int64_t of_q = shape.in(shape.queries, image, number), of_k = shape.in(shape.keys, image, number);
        masked_attention_head_backward(grad_output + of_q, q + of_q, k + of_k, v + of_k,
                                       hidden + image * shape.queries * shape.keys, shape, grad_q + of_q,
                                       grad_k + of_k, grad_v + of_k);
    }
}

}  // namespace triseg

#endif
