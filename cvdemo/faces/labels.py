"""The names of a face's five landmarks, in the order every array, file and picture of this project uses."""

from __future__ import annotations

from typing import Any

# The person's right, which is on the left of an unmirrored picture.
LANDMARKS = ("right eye", "left eye", "nose tip", "right mouth corner", "left mouth corner")

# A mirrored picture swaps the sides: row i of the mirrored landmarks is row MIRRORED[i] of the original.
MIRRORED = (1, 0, 2, 4, 3)

CATEGORY: dict[str, Any] = {"id": 1, "name": "face", "keypoints": list(LANDMARKS)}
