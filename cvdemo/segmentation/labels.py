"""The classes of the compact segmentation models, and a colour for each."""

from __future__ import annotations

import numpy as np

IGNORE = 255  # in a label map: no opinion about this pixel, neither learned from nor counted

# PASCAL VOC (Everingham et al. 2010), in the data set's own order.
VOC_CLASSES = (
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "dining table",
    "dog",
    "horse",
    "motorbike",
    "person",
    "potted plant",
    "sheep",
    "sofa",
    "train",
    "tv monitor",
)
PERSON, HORSE = VOC_CLASSES.index("person"), VOC_CLASSES.index("horse")

# Chosen so that classes that occur together (person and horse, car and bus, chair and table) differ in lightness too,
# which is what remains for people who cannot tell red from green.
VOC_COLOURS = np.array(
    [
        (0, 0, 0),
        (86, 180, 233),
        (240, 228, 66),
        (0, 90, 140),
        (153, 221, 255),
        (0, 158, 115),
        (119, 50, 20),
        (213, 94, 0),
        (250, 190, 212),
        (120, 94, 240),
        (170, 170, 20),
        (255, 240, 190),
        (136, 34, 85),
        (60, 40, 110),
        (0, 60, 60),
        (230, 159, 0),
        (17, 119, 51),
        (220, 220, 220),
        (204, 121, 167),
        (70, 70, 70),
        (100, 143, 255),
    ],
    np.uint8,
)

# CamVid (Brostow et al. 2009) in the eleven classes of SegNet (Badrinarayanan et al. 2015).
CAMVID_CLASSES = (
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "tree",
    "sign",
    "fence",
    "car",
    "pedestrian",
    "cyclist",
)

CAMVID_COLOURS = np.array(
    [
        (86, 180, 233),
        (119, 50, 20),
        (255, 240, 190),
        (110, 90, 130),
        (204, 121, 167),
        (17, 119, 51),
        (240, 228, 66),
        (150, 150, 150),
        (0, 60, 140),
        (230, 159, 0),
        (120, 94, 240),
    ],
    np.uint8,
)

# The name of a VOC class in COCO's 80 categories (annotations of boxes), where they differ.
COCO_NAMES = {
    "aeroplane": "airplane",
    "motorbike": "motorcycle",
    "sofa": "couch",
    "tv monitor": "tv",
}
