// RoIAlign on the CPU, as torchvision defines it, parallel over the cores.
//
// A bilinear sample is a product of a weight along y and one along x, so the mean over a bin's samples is one too:
// each roi gets, per axis and bin, the feature rows (columns) it reads with their summed weights, once for all
// channels. A channel's bin row is then a weighted sum of feature rows, in whole vectors, followed by a few
// multiplications per bin. Every output plane belongs to one thread, so sums repeat bit for bit.
//
// Plain C++14, and right under -ffast-math too: Jittor includes this text in its own kernels.
#ifndef TRISEG_ROI_ALIGN_H
#define TRISEG_ROI_ALIGN_H

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace triseg {

struct RoiAlignShape {
    int64_t rois, images, channels, height, width, bins_high, bins_wide;
};

struct RoiAlignRule {
    float scale;         // from image to feature coordinates
    int sampling_ratio;  // samples per bin and axis; 0 adapts to each roi
    bool aligned;        // shift by half a cell and no least size
};

// What one axis of one roi reads: bin b the entries first[b] .. first[b + 1].
struct RoiAxis {
    std::vector<int> first, place;
    std::vector<float> weight;

    void add(int at, float share) {
        if (share == 0.0f) return;
        // Neighbouring samples share feature cells; merging them leaves at most one entry per cell.
        for (int entry = (int)place.size() - 1; entry >= first.back() && entry >= (int)place.size() - 2; --entry) {
            if (place[entry] == at) {
                weight[entry] += share;
                return;
            }
        }
        place.push_back(at);
        weight.push_back(share);
    }
};

// Where a roi ends, and so how many samples it has, hangs on the last bit of these values: each operation is rounded
// by itself, as in the reference, whatever the compiler may fuse or reorder elsewhere.
inline float rounded(float value) {
    volatile float stored = value;
    return stored;
}

inline bool is_finite(float value) {  // -ffast-math takes std::isfinite for true
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return (bits & 0x7f800000u) != 0x7f800000u;
}

inline void add_sample(RoiAxis& axis, float at, int64_t side, float share) {
    if (at < -1.0f || at > (float)side) return;
    at = std::max(at, 0.0f);
    const int low = (int)at;
    if (low >= side - 1) {
        axis.add((int)side - 1, share);
        return;
    }
    const float upper = rounded(at - (float)low);
    axis.add(low, (1.0f - upper) * share);
    axis.add(low + 1, upper * share);
}

// A roi that is not finite has no samples and gives 0.
inline RoiAxis roi_axis(float from, float to, int64_t side, int64_t bins, const RoiAlignRule& rule) {
    RoiAxis axis;
    axis.first.push_back(0);
    const float shift = rule.aligned ? 0.5f : 0.0f;
    const float start = rounded(rounded(from * rule.scale) - shift);
    float length = rounded(rounded(rounded(to * rule.scale) - shift) - start);
    if (!rule.aligned) length = std::max(length, 1.0f);
    const float bin = rounded(length / (float)bins);
    const bool usable = is_finite(start) && is_finite(length) && side > 0;
    const float wanted = rule.sampling_ratio > 0 ? (float)rule.sampling_ratio : std::ceil(bin);
    const int64_t samples = usable ? (int64_t)std::min(std::max(wanted, 0.0f), 1073741824.0f) : 0;
    for (int64_t b = 0; b < bins; ++b) {
        const float origin = rounded(start + rounded((float)b * bin));
        int64_t begin = 0, end = samples;
        if (samples > 64 && bin > 0.0f) {  // a huge roi: pass over the samples that lie outside the features
            const double step = (double)bin / (double)samples;
            const double enter = (-1.0 - origin) / step - 3.0, leave = ((double)side - origin) / step + 3.0;
            begin = (int64_t)std::min(std::max(enter, 0.0), (double)samples);
            end = (int64_t)std::min(std::max(leave, 0.0), (double)samples);
        }
        for (int64_t k = begin; k < end; ++k) {
            const float divisor = rounded((float)samples);
            const float inside = rounded(rounded(rounded((float)k + 0.5f) * bin) / divisor);
            add_sample(axis, rounded(origin + inside), side, 1.0f / (float)samples);
        }
        axis.first.push_back((int)axis.place.size());
    }
    return axis;
}

constexpr int kLanes = 16;  // columns that are summed together
typedef float Lanes __attribute__((vector_size(kLanes * sizeof(float))));
constexpr int kBinLanes = 8;  // bins of a row that are summed together
typedef float BinLanes __attribute__((vector_size(kBinLanes * sizeof(float))));

struct RoiPlan {
    int64_t image;  // -1: the roi reads nothing
    RoiAxis y;
    int begin, span;              // the columns begin .. begin + span hold all that the roi reads
    std::vector<int64_t> starts;  // per entry of y, where these columns begin in the plane
    // The other axis, the bins side by side: the entry-th reading of bin j stands at entry * lanes + j. A bin with
    // fewer readings than another has some of weight 0.
    int entries, lanes;
    std::vector<int> place;  // counted from begin
    std::vector<float> weight;
};

// The bins' readings side by side, so that a row of bins is summed without a branch.
inline void lay_side_by_side(const RoiAxis& x, int64_t bins, RoiPlan& plan) {
    plan.lanes = (int)((bins + kBinLanes - 1) / kBinLanes * kBinLanes);
    plan.entries = 0;
    for (int64_t j = 0; j < bins; ++j) plan.entries = std::max(plan.entries, x.first[j + 1] - x.first[j]);
    plan.place.assign((size_t)plan.entries * plan.lanes, 0);
    plan.weight.assign((size_t)plan.entries * plan.lanes, 0.0f);
    for (int64_t j = 0; j < bins; ++j) {
        for (int entry = x.first[j]; entry < x.first[j + 1]; ++entry) {
            const size_t at = (size_t)(entry - x.first[j]) * plan.lanes + j;
            plan.place[at] = x.place[entry] - plan.begin;
            plan.weight[at] = x.weight[entry];
        }
    }
}

inline RoiPlan roi_plan(const float* roi, const RoiAlignShape& shape, const RoiAlignRule& rule) {
    RoiPlan plan;
    const RoiAxis x = roi_axis(roi[1], roi[3], shape.width, shape.bins_wide, rule);
    plan.y = roi_axis(roi[2], roi[4], shape.height, shape.bins_high, rule);
    const bool known = is_finite(roi[0]) && roi[0] >= 0.0f && roi[0] < (float)shape.images;
    plan.image = known && !x.place.empty() && !plan.y.place.empty() ? (int64_t)roi[0] : -1;
    if (plan.image < 0) return plan;
    const auto ends = std::minmax_element(x.place.begin(), x.place.end());
    plan.begin = *ends.first;
    plan.span = *ends.second + 1 - plan.begin;
    // Whole vectors where the features are wide enough: more columns are touched than needed, with weight 0.
    const int whole = (plan.span + kLanes - 1) / kLanes * kLanes;
    if (whole <= shape.width) {
        plan.begin = (int)std::min<int64_t>(plan.begin, shape.width - whole);
        plan.span = whole;
    }
    for (const int place : plan.y.place) plan.starts.push_back(place * shape.width + plan.begin);
    lay_side_by_side(x, shape.bins_wide, plan);
    return plan;
}

inline std::vector<RoiPlan> roi_plans(const float* rois, const RoiAlignShape& shape, const RoiAlignRule& rule) {
    std::vector<RoiPlan> plans(shape.rois);
#pragma omp parallel for schedule(dynamic, 16)
    for (int64_t k = 0; k < shape.rois; ++k) plans[k] = roi_plan(rois + 5 * k, shape, rule);
    return plans;
}

// row[0 .. span] = the weighted sum of the feature rows that bin row `bin` reads.
inline void gather_rows(const float* plane, const RoiPlan& plan, int64_t bin, float* row) {
    const int first = plan.y.first[bin], last = plan.y.first[bin + 1];
    const int64_t* start = plan.starts.data();
    const float* weight = plan.y.weight.data();
    int at = 0;
    for (; at + kLanes <= plan.span; at += kLanes) {
        Lanes sum = {}, source;
        for (int entry = first; entry < last; ++entry) {
            std::memcpy(&source, plane + start[entry] + at, sizeof source);
            sum += weight[entry] * source;
        }
        std::memcpy(row + at, &sum, sizeof sum);
    }
    for (; at < plan.span; ++at) {
        float sum = 0.0f;
        for (int entry = first; entry < last; ++entry) sum += weight[entry] * plane[start[entry] + at];
        row[at] = sum;
    }
}

// The transpose of gather_rows: adds row, weighted, to the feature rows.
inline void scatter_rows(const float* row, const RoiPlan& plan, int64_t bin, float* plane) {
    for (int entry = plan.y.first[bin]; entry < plan.y.first[bin + 1]; ++entry) {
        float* target = plane + plan.starts[entry];
        const float share = plan.y.weight[entry];
        int at = 0;
        for (; at + kLanes <= plan.span; at += kLanes) {
            Lanes sum, source;
            std::memcpy(&sum, target + at, sizeof sum);
            std::memcpy(&source, row + at, sizeof source);
            sum += share * source;
            std::memcpy(target + at, &sum, sizeof sum);
        }
        for (; at < plan.span; ++at) target[at] += share * row[at];
    }
}

// out[0 .. bins] = what a row of bins reads from `row`.
inline void sum_bins(const float* row, const RoiPlan& plan, int64_t bins, float* out) {
    for (int64_t j = 0; j < bins; j += kBinLanes) {
        BinLanes sum = {}, weight, read = {};
        for (int entry = 0; entry < plan.entries; ++entry) {
            const int64_t at = (int64_t)entry * plan.lanes + j;
            std::memcpy(&weight, plan.weight.data() + at, sizeof weight);
            for (int lane = 0; lane < kBinLanes; ++lane) read[lane] = row[plan.place[at + lane]];
            sum += weight * read;
        }
        std::memcpy(out + j, &sum, sizeof(float) * std::min<int64_t>(kBinLanes, bins - j));
    }
}

// The transpose of sum_bins: row[0 .. span] = the gradients of a row of bins, weighted, where they were read.
inline void spread_bins(const float* grad, const RoiPlan& plan, int64_t bins, float* row) {
    std::fill(row, row + plan.span, 0.0f);
    for (int entry = 0; entry < plan.entries; ++entry) {
        const int* place = plan.place.data() + (size_t)entry * plan.lanes;
        const float* weight = plan.weight.data() + (size_t)entry * plan.lanes;
        for (int64_t j = 0; j < bins; ++j) row[place[j]] += weight[j] * grad[j];
    }
}

// features (N, C, H, W), rois (K, 5) image index, x1, y1, x2, y2 -> output (K, C, bins_high, bins_wide)
inline void roi_align_forward(const float* features, const float* rois, const RoiAlignShape& shape,
                              const RoiAlignRule& rule, float* output) {
    const std::vector<RoiPlan> plans = roi_plans(rois, shape, rule);
    const int64_t area = shape.height * shape.width, bins = shape.bins_high * shape.bins_wide;
#pragma omp parallel
    {
        std::vector<float> row(shape.width);
#pragma omp for schedule(static)
        for (int64_t item = 0; item < shape.channels * shape.rois; ++item) {  // all rois of a channel: its plane stays near
            const int64_t c = item / shape.rois, k = item % shape.rois;
            const RoiPlan& plan = plans[k];
            float* out = output + (k * shape.channels + c) * bins;
            if (plan.image < 0) {
                std::fill(out, out + bins, 0.0f);
                continue;
            }
            const float* plane = features + (plan.image * shape.channels + c) * area;
            for (int64_t i = 0; i < shape.bins_high; ++i) {
                gather_rows(plane, plan, i, row.data());
                sum_bins(row.data(), plan, shape.bins_wide, out + i * shape.bins_wide);
            }
        }
    }
}

// grad_output (K, C, bins_high, bins_wide) -> grad_features (N, C, H, W), written whole
inline void roi_align_backward(const float* grad_output, const float* rois, const RoiAlignShape& shape,
                               const RoiAlignRule& rule, float* grad_features) {
    const std::vector<RoiPlan> plans = roi_plans(rois, shape, rule);
    const int64_t area = shape.height * shape.width, bins = shape.bins_high * shape.bins_wide;
#pragma omp parallel
    {
        std::vector<float> row(shape.width);
#pragma omp for schedule(dynamic, 1)
        for (int64_t item = 0; item < shape.images * shape.channels; ++item) {
            const int64_t n = item / shape.channels, c = item % shape.channels;
            float* plane = grad_features + item * area;
            std::fill(plane, plane + area, 0.0f);
            for (int64_t k = 0; k < shape.rois; ++k) {
                const RoiPlan& plan = plans[k];
                if (plan.image != n) continue;
                const float* grad = grad_output + (k * shape.channels + c) * bins;
                for (int64_t i = 0; i < shape.bins_high; ++i) {
                    spread_bins(grad + i * shape.bins_wide, plan, shape.bins_wide, row.data());
                    scatter_rows(row.data(), plan, i, plane);
                }
            }
        }
    }
}

}  // namespace triseg

#endif
