"""The 17 joints of COCO, how they are connected, and how precisely people label each of them."""

from __future__ import annotations

import numpy as np

COCO_JOINTS: tuple[str, ...] = (
    "nose",
    "left eye",
    "right eye",
    "left ear",
    "right ear",
    "left shoulder",
    "right shoulder",
    "left elbow",
    "right elbow",
    "left wrist",
    "right wrist",
    "left hip",
    "right hip",
    "left knee",
    "right knee",
    "left ankle",
    "right ankle",
)
"""In COCO's order. Left and right are the person's own."""

JOINT_INDEX: dict[str, int] = {name: index for index, name in enumerate(COCO_JOINTS)}

COCO_KEYPOINT_NAMES: tuple[str, ...] = tuple(name.replace(" ", "_") for name in COCO_JOINTS)
"""As COCO's json files spell them."""

COCO_EDGES: tuple[tuple[int, int], ...] = (
    (15, 13),
    (13, 11),
    (16, 14),
    (14, 12),
    (11, 12),
    (5, 11),
    (6, 12),
    (5, 6),
    (5, 7),
    (6, 8),
    (7, 9),
    (8, 10),
    (1, 2),
    (0, 1),
    (0, 2),
    (1, 3),
    (2, 4),
    (3, 5),
    (4, 6),
)
"""Pairs of indices into ``COCO_JOINTS``: the limbs of COCO's own skeleton."""

FLIP_PAIRS: tuple[tuple[int, int], ...] = ((1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16))
"""Joints that change places when a picture is mirrored."""

FLIP_ORDER: tuple[int, ...] = (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)
"""``keypoints[FLIP_ORDER]`` are the joints of the mirrored person in COCO's order."""

OKS_SIGMAS: np.ndarray = np.array(
    [0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072,
     0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089]
)  # fmt: skip
"""(17,) spread of human labels per joint, relative to the square root of the person's area (COCO keypoint
evaluation, Ronchi and Perona 2017, arXiv:1707.05388)."""
OKS_SIGMAS.setflags(write=False)


def side_of(joint: int) -> str:
    """ "left", "right" or "middle": the side of the person's body a joint belongs to."""
    name = COCO_JOINTS[joint]
    return name.split()[0] if " " in name else "middle"
