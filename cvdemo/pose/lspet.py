"""Turn the joints of Leeds Sports Poses Extended into a COCO keypoints json.

``python -m cvdemo.pose.lspet --joints joints.mat --pictures FOLDER --out lspet.json``

The set (Johnson and Everingham 2011, "Learning effective human pose estimation from inaccurate annotation") has 10,000
people with 14 joints, left and right being the person's own. Twelve of them are joints of COCO too; the neck and the
top of the head are not, and only help to draw the box. COCO's five joints of the face are written as not labelled.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cvdemo.core.lazy import cv2
from cvdemo.pose.pseudo_label import CATEGORY, PERSON
from cvdemo.pose.skeleton import JOINT_INDEX

LSPET_JOINTS = (
    "right ankle",
    "right knee",
    "right hip",
    "left hip",
    "left knee",
    "left ankle",
    "right wrist",
    "right elbow",
    "right shoulder",
    "left shoulder",
    "left elbow",
    "left wrist",
    "neck",
    "top of the head",
)
BODY_MARGIN = 0.08  # a body reaches beyond its joints by about this share of their extent


def to_coco(joints: np.ndarray) -> np.ndarray:
    """(14, 3) x, y, visible (1 or 0) in the set's order -> (17, 3) x, y, COCO visibility.

    Joints that the set marks as not visible have no place there: they are not labelled.
    """
    keypoints = np.zeros((17, 3), np.float64)
    for row, name in zip(joints, LSPET_JOINTS):
        if name in JOINT_INDEX and row[2] > 0:
            keypoints[JOINT_INDEX[name]] = row[0], row[1], 2
    return keypoints


def box_of(joints: np.ndarray, width: int, height: int) -> np.ndarray | None:
    """x, y, width, height around the visible joints (14, 3), a little larger, cut at the picture's edge; or None."""
    seen = joints[joints[:, 2] > 0, :2]
    if len(seen) < 4:
        return None
    low, high = seen.min(0), seen.max(0)
    margin = BODY_MARGIN * (high - low).max()
    low, high = np.maximum(low - margin, 0), np.minimum(high + margin, (width, height))
    return np.concatenate([low, high - low]) if (high - low).min() >= 8 else None


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the options, read the joints and the pictures' sizes, write one COCO keypoints json."""
    import scipy.io  # comes with scikit-learn, a training-time tool

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--joints", type=Path, required=True, help="joints.mat of the set")
    parser.add_argument("--pictures", type=Path, required=True, help="folder of im00001.jpg …")
    parser.add_argument("--out", type=Path, required=True, help="file names in it are relative to --pictures")
    args = parser.parse_args(arguments)
    table = scipy.io.loadmat(args.joints)["joints"].transpose(2, 0, 1)  # (pictures, 14, 3)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, joints in enumerate(table, 1):
        name = f"im{number:05d}.jpg"
        picture = cv2.imread(str(args.pictures / name))
        box = None if picture is None else box_of(joints, picture.shape[1], picture.shape[0])
        if picture is None or box is None:
            continue
        images.append({"id": number, "file_name": name, "width": picture.shape[1], "height": picture.shape[0]})
        keypoints = to_coco(joints)
        annotations.append(
            {
                "id": number,
                "image_id": number,
                "category_id": PERSON,
                "bbox": [round(float(v), 1) for v in box],
                "area": round(float(box[2] * box[3]), 1),
                "keypoints": [round(float(v), 1) if i % 3 < 2 else int(v) for i, v in enumerate(keypoints.ravel())],
                "num_keypoints": int((keypoints[:, 2] > 0).sum()),
                "iscrowd": 0,
            }
        )
    args.out.write_text(json.dumps({"images": images, "annotations": annotations, "categories": [CATEGORY]}))
    print(f"{args.out}: {len(annotations)} of {len(table)} people", file=sys.stderr)


if __name__ == "__main__":
    main()
