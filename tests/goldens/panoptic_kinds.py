"""The kinds of panoptic segmentation: Mask2Former's inference behind its network, and panoptic quality."""

from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np

from common.array import Array
from common.evaluation.panoptic_quality import PanopticQuality
from common.families.mask2former import inference
from common.families.mask2former.settings import Mask2FormerDetection
from common.results import Panoptic
from tests.goldens import golden

Answers = dict[str, np.ndarray]


def inferred(case: Path, framework: str, device: str, xp: ModuleType, like: Array, folder: Path) -> Answers:
    """Each case's segments, instances and sums of classes, through what `find_results` calls."""
    manifest, arrays = golden.manifest(case), golden.arrays(case)
    answers = {}
    for name, given in manifest["cases"].items():
        logits, masks = arrays[given["mask_cls"]], arrays[given["mask_pred"]]
        if "image_sizes" not in given:
            queries = _place(xp, like, logits, xp.asarray(masks, like=like), *[masks.shape[1:]] * 3)
            answers |= _answer(xp, queries, manifest["settings"]["things"], given, f"{name}.")
            continue
        sizes = arrays[given["image_sizes"]]
        padded = -(-sizes.max(axis=0) // 32) * 32
        assert (padded == 4 * np.array(masks.shape[2:])).all()
        for row, (own, target) in enumerate(zip(sizes.tolist(), arrays[given["output_sizes"]].tolist(), strict=True)):
            target = target if any(target) else own
            placed = [xp.asarray(masks[row], like=like), *map(tuple, (padded.tolist(), own, target))]
            answers[f"{name}.{row}_masks_resized"] = xp.to_numpy(inference.resize_masks(*placed))
            queries = _place(xp, like, logits[row], *placed)
            answers |= _answer(xp, queries, manifest["settings"]["things"], given, f"{name}.{row}_")
    return answers


def _place(
    xp: ModuleType, like: Array, class_logits: np.ndarray, mask_logits: Array, *sizes: tuple[int, int]
) -> inference.Queries:
    probabilities = xp.to_numpy(xp.softmax(xp.asarray(class_logits, like=like), 1))
    return inference.place_queries(probabilities, mask_logits, *sizes)


def _answer(xp: ModuleType, queries: inference.Queries, things: int, given: dict, prefix: str) -> Answers:
    """What a case's settings make of placed queries, by the outputs' names."""
    thresholds = given["object_mask_threshold"], given["overlap_threshold"]
    rules = Mask2FormerDetection(
        object_threshold=thresholds[0], overlap_threshold=thresholds[1], max_detections=given["topk"]
    )
    classes = queries.probabilities.shape[1] - 1
    if given["panoptic_on"]:
        # Nothing is cut by a score in the reference, not even instances without a pixel.
        found = inference.find_everything(queries, things, rules, score_threshold=-1.0)
        instances = found.instances
        segments = np.stack([found.ids, found.labels, found.is_thing], axis=1)
        answers = {"segment_map": found.segment_map, "segments": segments, "semantic": _sums(xp, queries, found)}
    else:
        instances, answers = inference.find_instances(queries, classes, rules.max_detections, -1.0), {}
    answers |= {
        "instance_scores": instances.scores,
        "instance_classes": instances.labels,
        "instance_masks": instances.masks,
    }
    return {prefix + name: answer for name, answer in answers.items()}


def _sums(xp: ModuleType, queries: inference.Queries, found: Panoptic) -> np.ndarray:
    """The sums (K, H, W), of which the classes that were found must be the largest."""
    presence = xp.reshape(queries.presence, (len(queries.probabilities), -1))
    probabilities = xp.asarray(np.ascontiguousarray(queries.probabilities[:, :-1]), like=presence)
    sums = xp.to_numpy(inference.sum_classes(probabilities, presence)).T.reshape(-1, *queries.image_size)
    own = np.take_along_axis(sums, found.semantic[None], 0)[0]
    assert (own >= sums.max(axis=0) - 1e-6).all()
    return sums


def quality(case: Path, framework: str, device: str, xp: ModuleType, like: Array, folder: Path) -> Answers:
    """The counts over all images, and what is made of them; 0 where a category never occurs, as in the reference."""
    arrays = golden.arrays(case)
    ids, is_thing = arrays["in.categories"].T
    rated = PanopticQuality(ids.tolist(), "the case")
    for image, (truth, prediction) in enumerate(zip(arrays["in.ground_truth"], arrays["in.prediction"], strict=True)):
        annotated = [
            SimpleNamespace(id=number, category_id=category, crowd=bool(crowd), area=area)
            for number, category, crowd, area in _rows(arrays["in.ground_truth_segments"], image)
        ]
        rated.add(image, truth, annotated, prediction, dict(_rows(arrays["in.prediction_segments"], image)))
    groups = {"all": is_thing >= 0, "things": is_thing == 1, "stuff": is_thing == 0}
    answers = {"per_class": np.nan_to_num(np.stack(rated.of_categories(), axis=1)), "iou": rated.overlap}
    answers["counts"] = np.stack([rated.found, rated.in_vain, rated.missed], axis=1)
    for name, group in groups.items():
        answers |= {name: np.array(rated.means(group)), f"{name}_classes": np.array((group & rated.occurs).sum())}
    return answers


def _rows(table: np.ndarray, image: int) -> list[list[int]]:
    """The rows of one image, without the image."""
    return table[table[:, 0] == image, 1:].tolist()
