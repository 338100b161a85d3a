"""Two preparations of the training data, so that the recipe can be repeated from the published data sets.

``python -m cvdemo.detection.prepare tiny-imagenet TINY_IMAGENET/train --out tiny.json`` writes the boxes of those Tiny
ImageNet classes that correspond to a COCO class as a COCO json file.

``python -m cvdemo.detection.prepare hold-back split.json --out fit.json`` splits the list ``train`` of a split file
into ``fit`` and ``dev`` (200 ids drawn with seed 0), so that choices are never made on the test pictures.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cvdemo.core.errors import CvDemoError, InputError
from cvdemo.detection.labels import COCO_CATEGORIES

SIDE = 64
PERSON = 1

# COCO category id -> WordNet ids of the Tiny ImageNet classes whose objects are of that category
COCO_TO_WORDNET: dict[int, tuple[str, ...]] = {
    3: ("n02814533", "n03100240", "n03670208", "n04285008"),
    6: ("n04146614", "n04487081"),
    7: ("n02917067", "n03393912"),
    8: ("n03796401",),
    9: ("n03447447", "n03662601"),
    14: ("n03891332",),
    16: ("n01855672", "n02002724", "n02058221", "n02056570"),
    17: ("n02123045", "n02123394", "n02124075"),
    18: ("n02085620", "n02094433", "n02099601", "n02099712", "n02106662", "n02113799"),
    20: ("n02415577",),
    21: ("n02403003",),
    22: ("n02504458",),
    23: ("n02132136",),
    27: ("n02769748",),
    28: ("n04507155",),
    32: ("n02883205",),
    37: ("n02802426", "n04118538", "n04540053"),
    44: ("n02823428", "n03983396"),
    47: ("n07920052",),
    50: ("n04597913",),
    52: ("n07753592",),
    55: ("n07747607",),
    59: ("n07873807",),
    62: ("n04099969",),
    67: ("n03201208",),
    75: ("n04074963",),
    76: ("n03085013",),
    82: ("n04070727",),
    84: ("n06596364",),
    88: ("n04399382",),
}


def tiny_imagenet(train: Path) -> dict[str, Any]:
    """COCO json of the corresponding classes; file names relative to ``train`` (one folder per WordNet id).

    Every picture has one labelled object. People in it are not labelled, so each picture also gets a crowd box of the
    class person over all of it: nobody is punished for finding one.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for category, folders in COCO_TO_WORDNET.items():
        for folder in folders:
            listing = train / folder / f"{folder}_boxes.txt"
            if not listing.is_file():
                raise InputError(f"{listing} is missing.", hint="Give the folder `train` of Tiny ImageNet.")
            for line in listing.read_text().splitlines():
                name, *corners = line.split()
                x1, y1, x2, y2 = (int(value) for value in corners)
                image = len(images)
                images.append(
                    {"id": image, "file_name": f"{folder}/images/{name}", "width": SIDE, "height": SIDE}
                )  # fmt: skip
                box = [x1, y1, x2 + 1 - x1, y2 + 1 - y1]
                for label, bbox, crowd in ((category, box, 0), (PERSON, [0, 0, SIDE, SIDE], 1)):
                    annotations.append(
                        {"id": len(annotations), "image_id": image, "category_id": label, "bbox": bbox,
                         "area": bbox[2] * bbox[3], "iscrowd": crowd, "score": 0.99}
                    )  # fmt: skip
    categories = [{"id": c.id, "name": c.name} for c in COCO_CATEGORIES]
    return {"images": images, "annotations": annotations, "categories": categories}


def hold_back(train: Sequence[int], count: int = 200, seed: int = 0) -> dict[str, list[int]]:
    """``{"fit", "dev"}``: ``count`` ids drawn from ``train`` as dev, the rest as fit, both sorted."""
    if not 0 < count < len(train):
        raise InputError(f"{count} of {len(train)} pictures cannot be held back.", hint="Choose a smaller --count.")
    dev = sorted(random.Random(seed).sample(sorted(train), count))
    chosen = set(dev)
    return {"fit": [image for image in sorted(train) if image not in chosen], "dev": dev}


def main(arguments: Sequence[str] | None = None) -> None:
    """Write what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    tiny = commands.add_parser("tiny-imagenet")
    tiny.add_argument("train", type=Path)
    held = commands.add_parser("hold-back")
    held.add_argument("split", type=Path)
    held.add_argument("--count", type=int, default=200)
    for command in (tiny, held):
        command.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(arguments)
    try:
        if args.command == "tiny-imagenet":
            made: dict[str, Any] = tiny_imagenet(args.train)
        else:
            made = hold_back(json.loads(args.split.read_text())["train"], args.count)
    except CvDemoError as error:
        sys.exit(str(error))
    args.out.write_text(json.dumps(made))


if __name__ == "__main__":
    main()
