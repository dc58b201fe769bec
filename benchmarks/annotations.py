"""An annotation file as large as COCO train2017's, without images, to measure how such a file opens.

python -m benchmarks.annotations OUT.json
"""

import argparse
import json
from pathlib import Path

import numpy as np
from tqdm import tqdm

from common.errors import run_command
from common.files import atomic_path

IMAGES, INSTANCES = 118_287, 860_001  # of instances_train2017.json


def write_annotations(path: Path, images: int = IMAGES, instances: int = INSTANCES, seed: int = 0) -> None:
    """80 categories with gaps between their ids, about 40 points an object, a crowd in a hundred as RLE."""
    rng = np.random.default_rng(seed)
    image_ids = np.sort(rng.choice(600_000, images, replace=False))
    categories = np.sort(rng.choice(np.arange(1, 91), 80, replace=False)).tolist()
    records = [
        {"license": 3, "file_name": f"{identity:012d}.jpg", "coco_url": f"http://images.example/{identity:012d}.jpg",
         "height": 480, "width": 640, "date_captured": "2013-11-14 11:18:45", "id": identity}
        for identity in image_ids.tolist()
    ]  # fmt: skip
    owners = rng.choice(image_ids, instances).tolist()
    with atomic_path(path) as temporary, temporary.open("w") as out:
        out.write('{"info":{"description":"a file of COCO\'s size"},"images":')
        json.dump(records, out)
        out.write(',"annotations":[')
        for position in tqdm(range(instances), desc="annotations", unit="object", disable=None):
            annotation = _annotation(rng) | {
                "image_id": owners[position],
                "category_id": categories[rng.integers(80)],
                "id": position + 1,
            }
            out.write(("," if position else "") + json.dumps(annotation))
        out.write('],"categories":')
        json.dump([{"supercategory": "thing", "id": each, "name": f"class {each}"} for each in categories], out)
        out.write("}")


def _annotation(rng: np.random.Generator) -> dict:
    """A ragged disc in an image of 640 x 480."""
    points = max(3, int(rng.gamma(2.0, 14.0)))
    angles = np.linspace(0, 2 * np.pi, points, endpoint=False)
    radius = rng.uniform(5, 100) * rng.uniform(0.7, 1.0, points)
    outline = np.stack([320 + radius * np.cos(angles), 240 + radius * np.sin(angles)], axis=1).round(2)
    low, high = outline.min(axis=0), outline.max(axis=0)
    crowd = bool(rng.random() < 0.012)
    counts = [320 * 480 + 100, *[7, 473] * 200]
    counts.append(640 * 480 - sum(counts))
    return {
        "segmentation": {"counts": counts, "size": [480, 640]} if crowd else [outline.ravel().tolist()],
        "area": round(float(np.prod(high - low)), 4),
        "iscrowd": int(crowd),
        "bbox": [round(value, 2) for value in (*low.tolist(), *(high - low).tolist())],
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.annotations", description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path, metavar="OUT.json")
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--instances", type=int, default=INSTANCES)
    arguments = parser.parse_args()
    write_annotations(arguments.out, arguments.images, arguments.instances)


if __name__ == "__main__":
    run_command(main)
