// Greedy non-maximum suppression on the CPU, exact: a box goes when its IoU with an earlier kept one is above the
// threshold.
//
// A vectorised pass without division finds the pairs that may be above the threshold; only these are decided, with each
// operation rounded to float32 as in torchvision, whatever the compiler may fuse or reorder. Boxes are taken in blocks:
// inside a block one after the other, then the block's kept boxes against all later boxes, on all cores. With classes each
// is done by itself.
//
// Plain C++14, and right under -ffast-math too: Jittor includes this text in its own kernels.
#ifndef TRISEG_NMS_H
#define TRISEG_NMS_H

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <vector>

namespace triseg {

class Nms {
public:
    Nms(const float* boxes, int64_t count, float threshold, float offset)
        : count_(count), threshold_(threshold), offset_(offset), near_(threshold * 0.9999f),
          x1_(count), y1_(count), x2_(count), y2_(count), area_(count) {
        for (int64_t i = 0; i < count; ++i) {
            const float* box = boxes + 4 * i;
            x1_[i] = box[0], y1_[i] = box[1], x2_[i] = box[2], y2_[i] = box[3];
            area_[i] = product(extent(box[0], box[2]), extent(box[1], box[3]));
            if (!finite(area_[i])) remove(i);  // meets nobody: neither suppresses nor is suppressed
        }
    }

    void run(int32_t* keep) {
        constexpr int64_t kBlock = 128;
        std::fill(keep, keep + count_, 1);
        std::vector<int64_t> kept;
        for (int64_t block = 0; block < count_; block += kBlock) {
            const int64_t end = std::min(block + kBlock, count_);
            kept.clear();
            for (int64_t i = block; i < end; ++i) {
                if (!keep[i]) continue;
                kept.push_back(i);
                for (int64_t at = i + 1; at < end; at += kChunk) suppress(i, at, std::min(at + kChunk, end), keep);
            }
            const int64_t chunks = (count_ - end + kChunk - 1) / kChunk;
#pragma omp parallel for schedule(static) if (chunks * (int64_t)kept.size() > 4096)
            for (int64_t chunk = 0; chunk < chunks; ++chunk) {
                const int64_t at = end + chunk * kChunk, stop = std::min(at + kChunk, count_);
                for (const int64_t i : kept) suppress(i, at, stop, keep);
            }
        }
    }

private:
    static constexpr int64_t kChunk = 64;

    static bool finite(float value) {  // -ffast-math takes std::isfinite for true
        uint32_t bits;
        std::memcpy(&bits, &value, sizeof bits);
        return (bits & 0x7f800000u) != 0x7f800000u;
    }

    static float product(float a, float b) {
        volatile float stored = a * b;
        return stored;
    }

    float extent(float from, float to) const {
        volatile float difference = to - from;
        volatile float with_offset = difference + offset_;
        return with_offset;
    }

    // A box that overlaps with none; a suppressed one becomes so too and is not found again.
    void remove(int64_t i) {
        x1_[i] = y1_[i] = 1e30f;
        x2_[i] = y2_[i] = -1e30f;
        area_[i] = 0.0f;
    }

    bool above_threshold(int64_t i, int64_t j) const {
        const float width = extent(std::max(x1_[i], x1_[j]), std::min(x2_[i], x2_[j]));
        const float height = extent(std::max(y1_[i], y1_[j]), std::min(y2_[i], y2_[j]));
        if (!(width > 0.0f && height > 0.0f)) return false;
        const float inter = product(width, height);
        volatile float both = area_[i] + area_[j];
        volatile float either = both - inter;
        volatile float iou = inter / either;
        return iou > threshold_;
    }

    void suppress(int64_t i, int64_t begin, int64_t end, int32_t* keep) {
        const float left = x1_[i], top = y1_[i], right = x2_[i], bottom = y2_[i], area = area_[i];
        const float *x1 = x1_.data(), *y1 = y1_.data(), *x2 = x2_.data(), *y2 = y2_.data(), *areas = area_.data();
        const float offset = offset_, near = near_;
        int found = 0;
#pragma omp simd reduction(| : found)
        for (int64_t j = begin; j < end; ++j) {
            const float width = std::min(right, x2[j]) - std::max(left, x1[j]) + offset;
            const float height = std::min(bottom, y2[j]) - std::max(top, y1[j]) + offset;
            const float inter = std::max(width, 0.0f) * std::max(height, 0.0f);
            found |= (int)(inter > 0.0f) & (int)(inter >= near * (area + areas[j] - inter));
        }
        if (!found) return;
        for (int64_t j = begin; j < end; ++j) {
            if (above_threshold(i, j)) {
                keep[j] = 0;
                remove(j);
            }
        }
    }

    const int64_t count_;
    const float threshold_, offset_, near_;
    std::vector<float> x1_, y1_, x2_, y2_, area_;
};

// The boxes of each class, in their order, one class after the other on as many cores as there are.
inline void nms_of_classes(const float* boxes, const int32_t* classes, int64_t count, float threshold, float offset,
                           int32_t* keep) {
    std::vector<int64_t> order(count);
    std::iota(order.begin(), order.end(), (int64_t)0);
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return classes[a] < classes[b]; });
    std::vector<int64_t> starts;
    for (int64_t at = 0; at < count; ++at) {
        if (at == 0 || classes[order[at]] != classes[order[at - 1]]) starts.push_back(at);
    }
    const int64_t groups = (int64_t)starts.size();
    starts.push_back(count);
#pragma omp parallel for schedule(dynamic) if (groups > 1)
    for (int64_t group = 0; group < groups; ++group) {
        const int64_t start = starts[group], members = starts[group + 1] - start;
        std::vector<float> own(4 * members);
        std::vector<int32_t> kept(members);
        for (int64_t k = 0; k < members; ++k) std::memcpy(&own[4 * k], boxes + 4 * order[start + k], 4 * sizeof(float));
        Nms(own.data(), members, threshold, offset).run(kept.data());
        for (int64_t k = 0; k < members; ++k) keep[order[start + k]] = kept[k];
    }
}

// boxes (N, 4) x1, y1, x2, y2 in the order of consideration; classes (N,) or null; keep (N,) becomes 1 or 0.
// offset 1 counts the last pixel in (width = x2 - x1 + 1).
inline void nms(const float* boxes, const int32_t* classes, int64_t count, float threshold, float offset, int32_t* keep) {
    if (classes) {
        nms_of_classes(boxes, classes, count, threshold, offset, keep);
    } else {
        Nms(boxes, count, threshold, offset).run(keep);
    }
}

}  // namespace triseg

#endif
