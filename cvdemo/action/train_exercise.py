"""The recipe of the exercise model: two pathways, recordings held back as a whole."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cvdemo.action.baselines import logistic_regression, majority
from cvdemo.action.exercise_batches import CLASSES, FRAMES, OTHER, SIDE, ExerciseBatches, bend, crop_clip, plain_windows
from cvdemo.action.exercise_data import PackedClips
from cvdemo.action.nets.compact_action import CompactAction
from cvdemo.action.nets.slowfast import SlowFast
from cvdemo.action.raw import softmax
from cvdemo.action.train import Job
from cvdemo.action.train_stills import start_from_classifier
from cvdemo.action.training_data import Pictures, pack, read_labels
from cvdemo.core import weights
from cvdemo.core.errors import InputError

FILENAME = "compact_exercise.safetensors"
OTHER_CLIPS = 60
"""Clips of "other" that are made of held-back pictures for the measurement."""
BASELINE_CLIPS = 1500


def job(args: argparse.Namespace) -> Job:
    """The two-pathway net on ``--clips``, "other" from ``--pictures``."""
    if args.clips is None or args.pictures is None:
        raise InputError("The exercise model needs --clips and --pictures.", hint="See cvdemo.action.exercise_data.")
    clips = PackedClips.open(args.clips)
    stills = pack(args.cache or args.out / "cache", read_labels(args.pictures))
    held_back = stills.held_back()
    batches = ExerciseBatches(clips, clips.rows(held_back=False), stills, np.flatnonzero(~held_back), args.seed)
    network = SlowFast(len(CLASSES))
    if args.backbone is not None:
        state = {n: v for n, v in weights.load_state(args.backbone).items() if n.startswith("backbone.")}
        own = {n: v for n, v in network.state_dict().items() if not n.startswith("backbone.")}
        weights.apply_state(network, own | state, args.backbone.name)
    device = torch.device(args.device)

    def loss_of(net: nn.Module, batch: tuple[np.ndarray, np.ndarray]) -> tuple[Tensor, dict[str, float]]:
        x, target = as_input(batch[0], device), torch.from_numpy(batch[1]).to(device)
        with torch.autocast(device.type, torch.bfloat16):
            logits = net(x)
        loss = nn.functional.cross_entropy(logits.float(), target, label_smoothing=0.1)
        right = (logits.detach().argmax(1) == target).float().mean()
        return loss, {"loss": float(loss.detach()), "accuracy": float(right)}

    return Job(
        network,
        FILENAME,
        lambda count, step, progress: batches.batch(count),
        loss_of,
        lambda batch: len(batch[0]),
        lambda net: measure(net, clips, stills, np.flatnonzero(held_back), batches, args),
        average_decay=0.997,
        memory_format=torch.channels_last,
    )


def as_input(clips: np.ndarray, device: torch.device) -> Tensor:
    """(B, T, S, S, 3) uint8 -> (B, 3, T, S, S) float32 in [0, 1]."""
    return torch.from_numpy(clips).to(device).permute(0, 4, 1, 2, 3).float().div_(255)


def other_clips(stills: Pictures, rows: np.ndarray, seed: int = 1) -> np.ndarray:
    """(60, 16, 128, 128, 3): held-back pictures panned, zoomed and bent, always the same."""
    rng = np.random.default_rng(seed)
    made = []
    for row in rng.choice(rows, OTHER_CLIPS, replace=False):
        picture = stills[int(row)]
        frames = bend(picture, FRAMES, rng) if rng.random() < 0.6 else [picture] * FRAMES
        made.append(crop_clip(frames, SIDE, rng, 1.0))
    return np.stack(made)


@torch.inference_mode()
def _probabilities(network: Any, clips: np.ndarray) -> np.ndarray:
    """(N, C) for clips (N, T, S, S, 3), a few at a time."""
    device = next(network.parameters()).device
    rows = [network(as_input(clips[at : at + 8], device)).float().cpu().numpy() for at in range(0, len(clips), 8)]
    return softmax(np.concatenate(rows))


def measure(
    network: Any, clips: PackedClips, stills: Pictures, still_rows: np.ndarray, batches: ExerciseBatches,
    args: argparse.Namespace,
) -> dict[str, Any]:  # fmt: skip
    """Accuracy on held-back recordings (a clip's windows averaged) and on "other", beside a single-frame classifier."""
    held = clips.rows(held_back=True)
    windows = [plain_windows(clips[row]) for row in held]
    others = other_clips(stills, still_rows)
    truth = np.array([CLASSES.index(clips.entries[row].label) for row in held] + [OTHER] * len(others))
    of_windows = [_probabilities(network, one) for one in windows]
    scores = np.concatenate([[p.mean(axis=0) for p in of_windows], _probabilities(network, others)])
    frozen = [_probabilities(network, np.repeat(one[:, 8:9], FRAMES, axis=1)).mean(axis=0) for one in windows]
    right = scores.argmax(axis=1) == truth
    window_truth = np.repeat(truth[: len(held)], [len(p) for p in of_windows])
    present = [(row, name) for row, name in enumerate(CLASSES) if (truth == row).any()]
    per_class = {name: float(right[truth == row].mean()) for row, name in present}
    exercises = truth != OTHER
    figures: dict[str, Any] = {
        "clips": int(len(clips) - len(held)),
        "held_back": len(held),
        "held_back_other": len(others),
        "accuracy": float(right.mean()),
        "accuracy_of_exercises": float(right[exercises].mean()),
        "mean_of_classes": float(np.mean(list(per_class.values()))),
        "per_class": {name: round(value, 3) for name, value in per_class.items()},
        "count_per_class": {name: int((truth == row).sum()) for row, name in enumerate(CLASSES)},
        "accuracy_of_windows": float((np.concatenate(of_windows).argmax(axis=1) == window_truth).mean()),
        "windows": len(window_truth),
        "frozen_still_named_an_exercise": float((np.stack(frozen).argmax(axis=1) != OTHER).mean()),
        "wrong": [
            f"{clips.entries[row].label} {clips.entries[row].name}: {CLASSES[int(p.argmax())]}"
            for row, p, ok in zip(held, scores, right)
            if not ok
        ],
    }
    middle = np.concatenate([np.stack([one[len(one) // 2][8] for one in windows]), others[:, 8]])
    return figures | _single_frame(middle, truth, batches, args)


def _single_frame(
    middle: np.ndarray, truth: np.ndarray, batches: ExerciseBatches, args: argparse.Namespace
) -> dict[str, float]:
    """Logistic regression on the untrained backbone's features of one frame, from the same training draws."""
    network = CompactAction(len(CLASSES)).eval()
    start_from_classifier(network, args)
    labels = np.arange(BASELINE_CLIPS) % len(CLASSES)
    frames = np.stack([batches.clip(int(label))[8] for label in labels])
    known, asked = _embedded(network, frames), _embedded(network, middle)
    exercises = truth != OTHER
    return {
        "baseline_majority": majority(np.concatenate([truth]), truth),
        "baseline_single_frame": logistic_regression(known, labels, asked, truth),
        "baseline_single_frame_of_exercises": logistic_regression(known, labels, asked[exercises], truth[exercises]),
    }


@torch.inference_mode()
def _embedded(network: CompactAction, pictures: np.ndarray) -> np.ndarray:
    rows = []
    for at in range(0, len(pictures), 64):
        x = torch.from_numpy(pictures[at : at + 64]).permute(0, 3, 1, 2).float().div_(255)
        rows.append(network.embed(x).numpy())
    return np.concatenate(rows)
