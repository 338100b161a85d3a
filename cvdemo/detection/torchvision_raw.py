"""What all of torchvision's detectors share on the way from a picture to raw candidates.

torchvision's own ``forward`` applies thresholds and suppression that are attributes of the model, so exploring them
would mean changing a model other users are sharing. The functions here call the same layers but stop before
suppression, and write nothing to the model. ``torchvision_two_stage`` and ``torchvision_one_stage`` hold the rest.

Only backbone and heads run under ``RunContext.autocast``. Anchors, box decoding and scores are float32: in bfloat16 an
anchor's corner at pixel 1000 can only be a multiple of 8.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import FrozenBatchNorm2d

from cvdemo.core.inputs import pixels_of
from cvdemo.core.lazy import cv2
from cvdemo.core.registry import RunContext
from cvdemo.detection.candidates import Candidates
from cvdemo.detection.labels import NAME_OF_ID
from cvdemo.detection.raw import RawDetections

SCORE_FLOOR = 0.01


@dataclass(frozen=True, eq=False)
class NetworkInput:
    """A picture ready for the network.

    tensor: (1, 3, H, W) float32, normalised, padded with zeros at the right and bottom to the network's multiple.
    size: (height, width) of the resized picture inside it.   picture: (height, width) of the original.
    """

    tensor: Tensor
    size: tuple[int, int]
    picture: tuple[int, int]


def resized_size(transform: Any, height: int, width: int) -> tuple[int, int]:
    """(height, width) torchvision's ``GeneralizedRCNNTransform`` resizes a picture to, and at least one pixel each."""
    if transform.fixed_size is not None:
        return int(transform.fixed_size[1]), int(transform.fixed_size[0])
    scale = min(transform.min_size[-1] / min(height, width), transform.max_size / max(height, width))
    return max(1, math.floor(height * scale)), max(1, math.floor(width * scale))


def network_input(model: Any, picture: Any, context: RunContext) -> NetworkInput:
    """Normalise, resize bilinearly and pad, equal to the last bit to what the model's own transform makes.

    The transform normalises before it resizes, which on a large photograph costs more than a small network. A byte
    has only 256 values, so on the processor each channel is looked up in a table.
    """
    transform = model.transform
    pixels = pixels_of(picture)
    height, width = pixels.shape[:2]
    size = resized_size(transform, height, width)
    mean = torch.tensor(transform.image_mean, device=context.device)
    std = torch.tensor(transform.image_std, device=context.device)
    if context.device.type == "cpu":
        table = (torch.arange(256)[:, None] / 255 - mean) / std
        image = torch.from_numpy(cv2.LUT(pixels, table.numpy()[None]))
    else:
        image = (torch.tensor(pixels, device=context.device) / 255 - mean) / std
    image = F.interpolate(image.permute(2, 0, 1)[None], size=size, mode="bilinear", align_corners=False)
    multiple = transform.size_divisible
    bottom, right = (math.ceil(side / multiple) * multiple - side for side in size)
    if bottom or right:
        image = F.pad(image, (0, right, 0, bottom))
    if not context.precision.channels_last:  # a picture's own layout is channels-last already
        image = image.contiguous()
    return NetworkInput(context.tensor(image), size, (height, width))


def anchor_boxes(generator: Any, given: NetworkInput, features: Sequence[Tensor]) -> Tensor:
    """(A, 4) float32 anchors in pixels of the network's input, level by level, whatever dtype the features have.

    torchvision's generators take their dtype from the features, and keep the anchor templates in it for good: one
    bfloat16 call would shift the anchors of every later float32 call. Hence float32 stand-ins of the same shape.
    """
    standin = given.tensor.new_zeros(1)
    shapes = [standin.expand(1, 1, *feature.shape[-2:]) for feature in features]
    return generator(ImageList(given.tensor, [given.size]), shapes)[0]


def pyramid(
    given: NetworkInput, features: Sequence[Tensor], steps: Sequence[float] | None = None
) -> tuple[tuple[int, int, float], ...]:
    """(rows, columns, stride) of each feature map; ``steps`` are the strides where the model states its own."""
    rows = [int(feature.shape[-2]) for feature in features]
    columns = [int(feature.shape[-1]) for feature in features]
    strides = steps or [given.tensor.shape[-2] / row for row in rows]
    return tuple((row, column, float(stride)) for row, column, stride in zip(rows, columns, strides))


def to_picture(boxes: Tensor, given: NetworkInput) -> Tensor:
    """(N, 4) boxes from pixels of the network's input to pixels of the picture."""
    down, across = (picture / size for picture, size in zip(given.picture, given.size))
    return boxes * boxes.new_tensor([across, down, across, down])


def raw_detections(
    name: str,
    given: NetworkInput,
    levels: tuple[tuple[int, int, float], ...],
    *,
    boxes: Tensor,
    scores: Tensor,
    labels: Tensor,
    level: Tensor,
    origins: Tensor,
    proposals: Tensor | None = None,
    objectness: Tensor | None = None,
) -> RawDetections:
    """Sort by score, map to the picture and hand over to numpy.

    boxes, origins, proposals in pixels of the network's input; labels are torchvision's 91 class indices, which equal
    COCO's category ids. Its rows for background (0) and for the ten ids COCO left out are dropped: they have no name,
    and trained weights never fire them.
    """
    named = torch.zeros(max(91, int(labels.max()) + 1) if len(labels) else 91, dtype=torch.bool)
    named[list(NAME_OF_ID)] = True
    rows = named.to(labels.device)[labels].nonzero().squeeze(1)
    rows = rows[scores[rows].argsort(descending=True, stable=True)]
    candidates = Candidates.from_arrays(
        to_picture(boxes[rows], given).cpu().numpy(),
        scores[rows].cpu().numpy(),
        labels[rows].cpu().numpy(),
        height=given.picture[0],
        width=given.picture[1],
        level=level[rows].cpu().numpy(),
        origins=to_picture(origins[rows], given).cpu().numpy(),
        model=name,
    )
    return RawDetections(
        candidates,
        None if proposals is None else to_picture(proposals, given).cpu().numpy(),
        None if objectness is None else objectness.cpu().numpy(),
        levels,
        given.size,
    )


def freeze_batch_norm(module: nn.Module) -> nn.Module:
    """Replace every batch norm inside by torchvision's frozen one; returns the module (changed in place).

    torchvision builds some detectors with frozen norms, whose four vectors are buffers, but only when it also fetches
    weights; the published files of those detectors fit the frozen form.
    """
    for parent in module.modules():
        for name, norm in parent.named_children():
            if isinstance(norm, nn.BatchNorm2d):
                frozen = FrozenBatchNorm2d(norm.num_features, eps=norm.eps)
                state = norm.state_dict()
                state.pop("num_batches_tracked", None)
                frozen.load_state_dict(state)
                setattr(parent, name, frozen)
    return module
