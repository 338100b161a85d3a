"""Emotion's two halves: ``infer_emotions`` crops faces and runs the network once, ``decode_emotions`` does the rest.

Faces, with five landmarks each, come from ``cvdemo.faces.detector``.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import nn

from cvdemo.classification.emotion_align import crop_faces
from cvdemo.classification.emotion_tracks import EmotionTracks
from cvdemo.classification.nets.emotion_net import EMOTIONS, SIDE, EmotionNet, mirrored_logits
from cvdemo.classification.raw import pixels_of, softmax
from cvdemo.core import registry
from cvdemo.core.context import ProgressFn, RunContext
from cvdemo.core.engine import Engine, default_engine
from cvdemo.core.media import Picture
from cvdemo.core.registry import ModelSpec, Precision, WeightsFile, register
from cvdemo.core.settings import Settings, setting
from cvdemo.core.tracing import fused
from cvdemo.detection.draw import PALETTE, draw_boxes, make_style
from cvdemo.faces.result import Faces

TASK = "emotion"
DEFAULT_MODEL = "compact-emotion"
BATCH = 64
UNSURE_BELOW = 0.4
AGREE_PROBABILITY = 0.05
TEMPERATURE = 0.85  # of the least cross-entropy on the validation split

__all__ = [
    "DEFAULT_MODEL",
    "EMOTIONS",
    "EmotionSettings",
    "EmotionTracks",
    "Emotions",
    "Inference",
    "RawEmotions",
    "decode_emotions",
    "draw_emotions",
    "emotions_of",
    "infer_emotions",
    "logits_of_crops",
    "settings_for",
]


@dataclass(frozen=True)
class EmotionSettings(Settings):
    """Everything that acts on logits already computed."""

    temperature: float = setting(
        TEMPERATURE, label="Temperature", minimum=0.1, maximum=10.0, step=0.05,
        help="Logits are divided by this before the softmax: below 1 the best emotion gains, above 1 all become alike.",
    )  # fmt: skip
    smoothing: float = setting(
        0.4, label="Smoothing", minimum=0.0, maximum=3.0, step=0.1,
        help="Live only: seconds over which the probabilities of a face are averaged. 0 shows each picture by itself.",
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class RawEmotions:
    """Everything ``infer_emotions`` found out about the N faces of one picture.

    Attributes:
        logits: (N, 7) float32, mean over the face and its mirror image, in the order of ``EMOTIONS``.
        crops: (N, 48, 48) uint8 grey, the aligned faces the network saw.
        transforms: (N, 2, 3), from pixels of the picture to pixels of the crop.
        boxes: (N, 4) float32 x1 y1 x2 y2 in pixels.   scores: (N,) float32, how sure the detector was of each face.
        height, width: of the picture, in pixels.   model: registry name.
    """

    logits: np.ndarray
    crops: np.ndarray
    transforms: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    height: int
    width: int
    model: str

    def __post_init__(self) -> None:
        count = len(self.logits)
        if self.logits.shape != (count, len(EMOTIONS)):
            raise ValueError(f"logits of shape {self.logits.shape} for {len(EMOTIONS)} emotions")
        if {len(self.crops), len(self.transforms), len(self.boxes), len(self.scores)} != {count}:
            raise ValueError("every face needs logits, a crop, a transform, a box and a score")

    def __len__(self) -> int:
        return len(self.logits)


@dataclass(frozen=True)
class Inference:
    """One network run on one picture: its raw output and what it cost, milliseconds per stage in order.

    Without faces there is nothing to run: the stages end with the alignment, and device and precision are empty.
    """

    raw: RawEmotions
    stages: dict[str, float]
    device: str
    precision: str
    model: str


@dataclass(frozen=True, eq=False)
class Emotions:
    """What one setting makes of an inference.

    Attributes:
        probabilities: (N, 7) float64, rows sum to 1, in the order of ``EMOTIONS``.
        boxes: (N, 4) float32 x1 y1 x2 y2 in pixels.   scores: (N,) float32 of the face detector.
        tracks: (N,) int64, numbers that stay with a face over a live session; None for a single picture.
        milliseconds: decoding took.   height, width: of the picture.   model: registry name.
    """

    probabilities: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    tracks: np.ndarray | None
    milliseconds: float
    height: int
    width: int
    model: str

    def __len__(self) -> int:
        return len(self.probabilities)

    @property
    def top(self) -> tuple[tuple[int, str, float], ...]:
        """The most probable emotion of each face: (index, name, probability)."""
        best = self.probabilities.argmax(1) if len(self) else ()
        return tuple((int(i), EMOTIONS[i], float(row[i])) for i, row in zip(best, self.probabilities))

    def to_dict(self, image_name: str = "") -> dict[str, Any]:
        """JSON-ready: image, model, and for each face bbox [x, y, width, height], score, emotion and probabilities."""
        faces: list[dict[str, Any]] = []
        for row, (_, name, probability) in enumerate(self.top):
            x1, y1, x2, y2 = (float(v) for v in self.boxes[row])
            faces.append(
                {
                    "bbox": [round(v, 2) for v in (x1, y1, x2 - x1, y2 - y1)],
                    "score": round(float(self.scores[row]), 4),
                    "emotion": name,
                    "probability": round(probability, 6),
                    "probabilities": {n: round(float(p), 6) for n, p in zip(EMOTIONS, self.probabilities[row])},
                }
            )
            if self.tracks is not None:
                faces[-1]["track"] = int(self.tracks[row])
        image = {"name": image_name, "width": self.width, "height": self.height}
        return {"image": image, "model": self.model, "faces": faces}

    def sentence(self) -> str:
        """Such as "1 face: happy (87 %)" or "3 faces: 2 happy, 1 neutral"; says so when a face is not clear."""
        if not len(self):
            return "No face was found"
        if len(self) == 1:
            _, name, probability = self.top[0]
            perhaps = "not sure, perhaps " if probability < UNSURE_BELOW else ""
            return f"1 face: {perhaps}{name} ({100 * probability:.0f} %)"
        counts = Counter(name if p >= UNSURE_BELOW else "unclear" for _, name, p in self.top)
        return f"{len(self)} faces: " + ", ".join(f"{n} {name}" for name, n in counts.most_common())


def logits_of_crops(network: nn.Module, crops: np.ndarray, context: RunContext) -> np.ndarray:
    """Logits (N, 7) float32 of grey crops (N, 48, 48) uint8, each averaged with its mirror image; 64 at a time."""
    rows = [np.zeros((0, len(EMOTIONS)), np.float32)]
    for start in range(0, len(crops), BATCH):
        context.report(start / len(crops), f"{start} of {len(crops)} faces")
        with context.stage("preprocess"):
            x = torch.from_numpy(crops[start : start + BATCH]).to(context.device)[:, None].float().div_(255)
            x = context.tensor(x)
        with context.stage("network"), context.autocast():
            logits = mirrored_logits(network, x)
        with context.stage("decode"):
            rows.append(logits.float().cpu().numpy())
    return np.concatenate(rows)


def infer_emotions(
    picture: Picture | np.ndarray,
    faces: Faces,
    model: str = DEFAULT_MODEL,
    engine: Engine | None = None,
    *,
    user: str = "",
    cancel: threading.Event | None = None,
    progress: ProgressFn | None = None,
) -> Inference:
    """Align the faces found in a picture ((H, W, 3) uint8 RGB or ``Picture``) and run the emotion network on them.

    Errors as in ``Engine.run``; ValueError for landmarks that are not finite.
    """
    started = perf_counter()
    pixels = pixels_of(picture)
    crops, transforms = crop_faces(pixels, faces.landmarks)
    stages = {"align": (perf_counter() - started) * 1e3}
    logits, device, precision = np.zeros((0, len(EMOTIONS)), np.float32), "", ""
    if len(crops):
        ran = (engine or default_engine()).run(registry.get(model), crops, user=user, cancel=cancel, progress=progress)
        logits, device, precision = ran.output, ran.device, ran.precision
        stages |= ran.stages
    raw = RawEmotions(
        logits,
        crops,
        transforms,
        np.asarray(faces.boxes, np.float32).reshape(-1, 4),
        np.asarray(faces.scores, np.float32).reshape(-1),
        pixels.shape[0],
        pixels.shape[1],
        model,
    )
    return Inference(raw, stages, device, precision, model)


def decode_emotions(
    inference: Inference | RawEmotions,
    settings: EmotionSettings,
    tracks: EmotionTracks | None = None,
    seconds: float = 0.0,
) -> Emotions:
    """Probabilities from logits; no network is touched (well under a millisecond).

    tracks, seconds: of a live session, its memory and the time of the picture; the probabilities are then averaged
    over ``settings.smoothing`` seconds, and ``tracks`` is changed.
    """
    started = perf_counter()
    raw = inference.raw if isinstance(inference, Inference) else inference
    probabilities = softmax(raw.logits, settings.temperature)
    numbers = None
    if tracks is not None:
        probabilities, numbers = tracks.update(raw.boxes, probabilities, seconds, settings.smoothing)
    found = Emotions(probabilities, raw.boxes, raw.scores, numbers, 0.0, raw.height, raw.width, raw.model)
    return replace(found, milliseconds=(perf_counter() - started) * 1e3)


def emotions_of(
    picture: Picture | np.ndarray,
    faces: Faces,
    settings: EmotionSettings | None = None,
    model: str = DEFAULT_MODEL,
    engine: Engine | None = None,
    *,
    user: str = "",
) -> np.ndarray:
    """Probabilities (N, 7) of the N faces of one picture, in the order of ``EMOTIONS``; both halves in one call."""
    raw = infer_emotions(picture, faces, model, engine, user=user).raw
    return decode_emotions(raw, settings or settings_for(model)).probabilities


def draw_emotions(pixels: np.ndarray, emotions: Emotions, *, line_width: int = 2) -> np.ndarray:
    """The picture with a box, the best emotion and its probability for each face, a new (H, W, 3) uint8 array."""
    texts = [f"{name} {100 * probability:.0f} %" for _, name, probability in emotions.top]
    styles = [make_style(PALETTE[index]) for index, _, _ in emotions.top]
    return draw_boxes(pixels, emotions.boxes, styles, texts, line_width=line_width)


def settings_for(model: str) -> EmotionSettings:
    """The settings a model starts with."""
    defaults: Mapping[str, Any] = registry.get(model).extras.get("defaults", {})
    return EmotionSettings.from_mapping(dict(defaults))


def agree(reference: np.ndarray, other: np.ndarray) -> bool:
    """Whether a faster number format may replace the reference: no probability moves by more than 0.05."""
    return bool(np.isfinite(other).all() and np.abs(softmax(reference) - softmax(other)).max() <= AGREE_PROBABILITY)


def example_crops() -> np.ndarray:
    """(4, 48, 48) uint8: soft random blobs, always the same, for warm-up and measuring."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (4, 8, 8)).astype(np.uint8)
    return coarse.repeat(SIDE // 8, 1).repeat(SIDE // 8, 2)


register(
    ModelSpec(
        name=DEFAULT_MODEL,
        task=TASK,
        tier="compact",
        title="Compact emotion network (ships with cvdemo)",
        family="convolutional network",
        architecture="residual pairs of 3x3 convolutions on folded pixels, average pooling, one linear layer",
        year=2026,
        paper="after ResNet, He et al. 2015, arXiv:1512.03385; data: Goodfellow et al. 2013, arXiv:1307.0414",
        lecture="deck 003: emotion recognition (preprocessing and alignment, CNN, label)",
        parameters=1_083_367,
        gflops=0.085,
        metrics={"fer2013 test accuracy": 0.682},
        licence="MIT",
        categories=EMOTIONS,
        input="grey face of 48 x 48 px aligned by five landmarks, standardised, averaged with its mirror image",
        weights=WeightsFile("compact_emotion.safetensors"),
        build=EmotionNet,
        run=logits_of_crops,
        example=example_crops,
        agrees=agree,
        prepare=fused,
        precisions=(Precision(), Precision(channels_last=True), Precision("bfloat16", channels_last=True)),
        extras={"defaults": {"temperature": TEMPERATURE}},
    )
)
