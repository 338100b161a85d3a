"""The compact action models as the registry knows them: everyday actions, skeletons, exercises."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cvdemo.action.clips import Clip, ClipSpec, example_clip
from cvdemo.action.exercise_batches import CLASSES as EXERCISES
from cvdemo.action.inflate import inflate
from cvdemo.action.joints import NOBODY, JointClip
from cvdemo.action.nets.compact_action import CompactAction
from cvdemo.action.nets.skeleton_tcn import SkeletonTcn
from cvdemo.action.nets.slowfast import FRAMES, SlowFast, slow_indices
from cvdemo.action.prepare import middle_squares
from cvdemo.action.raw import RawScores, agree, facts_of
from cvdemo.action.skeletons import calmed, features, fill_gaps, from_coco
from cvdemo.core.registry import ModelSpec, Precision, RunContext, WeightsFile, register
from cvdemo.core.tracing import fused

ACTIONS: tuple[str, ...] = (
    "calling", "clapping", "cycling", "dancing", "drinking", "eating", "fighting", "hugging", "laughing",
    "listening to music", "running", "sitting", "sleeping", "texting", "using laptop",
)  # fmt: skip
MOTIONS: tuple[str, ...] = (
    "catch", "clap", "golf", "jump", "pick", "pour", "pullup", "push", "run", "sit", "stand", "throw", "walk", "wave",
)  # fmt: skip
ACTION_NAME, SKELETON_NAME, EXERCISE_NAME = "compact-action", "compact-skeleton", "compact-exercise"
ACTION_CLIP = ClipSpec(8, 4.0, 160)
SKELETON_CLIP = ClipSpec(16, 10.0, 256)
EXERCISE_CLIP = ClipSpec(FRAMES, 8.0, 128)
INFLATED = ("backbone.stage4", "backbone.stage5")
"""Kernels of these stages reach over three moments: the early ones see edges, which have moved on by the next."""

ENOUGH_SEEN = 0.5
"""Share of the joints, over a clip, that must have been seen for the skeleton model to say anything."""


def blob_of(clip: Clip, side: int, context: RunContext) -> Tensor:
    """The middle squares of a clip as (1, 3, T, side, side) float32 in [0, 1] on the device."""
    squares = torch.from_numpy(middle_squares(clip.frames, side))
    return context.tensor(squares).permute(3, 0, 1, 2).unsqueeze(0).float().div_(255)


def build_action() -> nn.Module:
    """The everyday-actions network for pictures, randomly initialised."""
    return CompactAction(len(ACTIONS)).eval()


def prepare_action(network: nn.Module) -> nn.Module:
    """Fold batch normalisation and inflate: from here on it takes clips."""
    return inflate(fused(network), where=lambda name: name.startswith(INFLATED))


def run_action(network: Any, clip: Clip, context: RunContext) -> RawScores:
    """One clip of any length T >= 1 through the inflated network."""
    with context.stage("preprocess"):
        blob = blob_of(clip, ACTION_CLIP.size, context)
    context.check_cancelled()
    with context.stage("network"), context.autocast():
        logits = network(blob)
    with context.stage("decode"):
        return RawScores(logits[0].float().cpu().numpy(), ACTIONS, ACTION_NAME, facts_of(clip))


def run_skeleton(network: Any, value: JointClip, context: RunContext) -> RawScores:
    """The joints of one clip through the network.

    Where nobody was found, or fewer than half of the joints are seen surely, all actions are equally probable and the
    clip's note says why: of joints that were guessed the network would claim something at random.
    """
    facts = facts_of(value.clip)
    extras = {"joints": value.joints}
    with context.stage("preprocess"):
        points, seen = fill_gaps(from_coco(value.joints))
        blob = context.tensor(torch.from_numpy(features(calmed(points), seen)).unsqueeze(0))  # (1, 79, 32)
    share = float(seen.mean())
    if share < ENOUGH_SEEN:
        why = f"only {100 * share:.0f} % of the joints were seen surely, too few" if value.found else NOBODY
        note = "; ".join(filter(None, (facts.note, why)))
        none = np.zeros(len(MOTIONS), np.float32)
        return RawScores(none, MOTIONS, SKELETON_NAME, replace(facts, note=note), extras)
    with context.stage("network"), context.autocast():
        logits = network(blob)
    with context.stage("decode"):
        return RawScores(logits[0].float().cpu().numpy(), MOTIONS, SKELETON_NAME, facts, extras)


def example_joints() -> JointClip:
    """Somebody waving, always the same, for warm-up and measuring."""
    clip = example_clip(SKELETON_CLIP)
    rng = np.random.default_rng(0)
    standing = np.array(
        [(100, 30), (103, 27), (97, 27), (107, 29), (93, 29), (115, 55), (85, 55), (122, 85), (78, 85), (125, 112),
         (75, 112), (110, 115), (90, 115), (111, 155), (89, 155), (112, 195), (88, 195)], np.float64
    )  # fmt: skip
    joints = np.ones((SKELETON_CLIP.frames, 17, 3))
    joints[..., :2] = standing + rng.normal(0, 0.5, (SKELETON_CLIP.frames, 17, 2))
    joints[:, 9, 1] -= 60 + 15 * np.sin(np.arange(SKELETON_CLIP.frames))
    return JointClip(joints, clip)


def run_exercise(network: Any, clip: Clip, context: RunContext) -> RawScores:
    """One clip of 16 frames through both pathways."""
    with context.stage("preprocess"):
        blob = blob_of(clip, EXERCISE_CLIP.size, context)
    context.check_cancelled()
    with context.stage("network"), context.autocast():
        logits = network(blob)
    with context.stage("decode"):
        return RawScores(logits[0].float().cpu().numpy(), EXERCISES, EXERCISE_NAME, facts_of(clip), pathways(len(clip)))


def pathways(frames: int = FRAMES) -> dict[str, np.ndarray]:
    """Which frames of a clip each pathway is given: {"slow": indices, "fast": indices}."""
    return {"slow": np.array(slow_indices(frames)), "fast": np.arange(frames)}


register(
    ModelSpec(
        name=ACTION_NAME,
        task="action",
        tier="compact",
        title="Compact everyday actions (ships with cvdemo)",
        family="inflated convolutional network",
        architecture="the compact backbone with a head for actions; the kernels of its last two stages are inflated: "
        "tiled along time and divided by their length",
        year=2026,
        paper="inflation: Carreira and Zisserman 2017, arXiv:1705.07750",
        lecture="deck 004: inflating 2D kernels into 3D",
        parameters=1_412_447,
        gflops=1.405,  # 8 frames,
        metrics={
            "har15_stills held-back fifth, top-1 of 15": 0.609,
            "the same, nearest neighbour by the backbone's features": 0.335,
        },
        licence="MIT",
        categories=ACTIONS,
        input="8 frames at 4 a second, middle square at 160 px, RGB in [0, 1]",
        weights=WeightsFile("compact_action.safetensors"),
        build=build_action,
        run=run_action,
        example=functools.partial(example_clip, ACTION_CLIP),
        agrees=agree,
        prepare=prepare_action,
        precisions=(Precision(), Precision("bfloat16")),
        extras={"clip": ACTION_CLIP, "any_length": True, "defaults": {}},
    )
)
register(
    ModelSpec(
        name=SKELETON_NAME,
        task="action",
        tier="compact",
        title="Compact skeleton actions (ships with cvdemo)",
        family="temporal convolutional network on joints",
        architecture="the places and speeds of 15 joints as channels, three residual blocks of convolutions along time",
        year=2026,
        paper="after Kim and Reiter 2017, arXiv:1704.04516; data: Jhuang et al. 2013, J-HMDB",
        lecture="deck 003: human pose; deck 004: action recognition",
        parameters=457_358,
        gflops=0.006,
        metrics={
            "J-HMDB split 1 of 14 actions, given joints, top-1": 0.864,
            "the same, logistic regression on the mean pose": 0.540,
            "the same, nearest clip": 0.483,
        },
        licence="MIT",
        categories=MOTIONS,
        input="joints of one person in 16 frames at 10 a second, from the pose model, brought to 32 moments",
        weights=WeightsFile("compact_skeleton.safetensors"),
        build=functools.partial(SkeletonTcn, len(MOTIONS)),
        run=run_skeleton,
        example=example_joints,
        agrees=agree,
        extras={"clip": SKELETON_CLIP, "needs_joints": True, "defaults": {}},
    )
)
register(
    ModelSpec(
        name=EXERCISE_NAME,
        task="action",
        tier="compact",
        title="Compact exercises (ships with cvdemo)",
        family="two-pathway convolutional network",
        architecture="SlowFast: the compact backbone on 4 of 16 frames, an eighth of its channels on all of them, "
        "lateral connections after every stage",
        year=2026,
        paper="after Feichtenhofer et al. 2019, SlowFast Networks, arXiv:1812.03982",
        lecture="decks 000 and 004: SlowFast",
        parameters=1_403_613,
        gflops=0.399,
        metrics={
            "held-back recordings, 44 clips of exercises and 60 of other, top-1": 0.817,
            "the same, single-frame classifier": 0.625,
            "held-back recordings, exercises only, top-1": 0.864,
        },
        licence="MIT",
        categories=EXERCISES,
        input="16 frames at 8 a second, middle square at 128 px, RGB in [0, 1]",
        weights=WeightsFile("compact_exercise.safetensors"),
        borrowed={"backbone.": WeightsFile("compact_classifier.safetensors")},
        build=functools.partial(SlowFast, len(EXERCISES)),
        run=run_exercise,
        example=functools.partial(example_clip, EXERCISE_CLIP),
        agrees=agree,
        prepare=fused,
        precisions=(Precision(), Precision(channels_last=True), Precision("bfloat16", channels_last=True)),
        extras={"clip": EXERCISE_CLIP, "pathways": pathways, "defaults": {}},
    )
)
