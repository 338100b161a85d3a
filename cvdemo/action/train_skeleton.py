"""The recipe of the skeleton model: J-HMDB's joints, official split, measured on its other half."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cvdemo.action.baselines import logistic_regression, majority, nearest_neighbour, top_k
from cvdemo.action.nets.skeleton_tcn import SkeletonTcn
from cvdemo.action.skeleton_data import JointClips, SkeletonBatches, load, plain_features
from cvdemo.action.skeletons import resample
from cvdemo.action.train import Job
from cvdemo.core.errors import InputError

FILENAME = "compact_skeleton.safetensors"


def job(args: argparse.Namespace) -> Job:
    """The skeleton net on ``--train``, measured on ``--test``."""
    if args.train is None or args.test is None:
        raise InputError("The skeleton model needs --train and --test.", hint="Give the npz files of one split.")
    clips = load(args.train)
    held_back = load(args.test, clips.classes)
    batches = SkeletonBatches(clips, args.seed)
    device = torch.device(args.device)

    def loss_of(network: nn.Module, batch: tuple[np.ndarray, np.ndarray]) -> tuple[Tensor, dict[str, float]]:
        x, target = (torch.from_numpy(part).to(device) for part in batch)
        logits = network(x)
        loss = nn.functional.cross_entropy(logits, target, label_smoothing=0.1)
        right = (logits.detach().argmax(1) == target).float().mean()
        return loss, {"loss": float(loss.detach()), "accuracy": float(right)}

    return Job(
        SkeletonTcn(len(clips.classes)),
        FILENAME,
        lambda count, step, progress: batches.batch(count),
        loss_of,
        lambda batch: len(batch[0]),
        lambda network: measure(network, clips, held_back),
        average_decay=0.995,
    )


@torch.inference_mode()
def measure(network: Any, clips: JointClips, held_back: JointClips) -> dict[str, Any]:
    """Accuracy on the clips held back, of the net and of baselines that were given the same clips."""
    device = next(network.parameters()).device
    logits = network(torch.from_numpy(plain_features(held_back)).to(device)).cpu().numpy()
    right = logits.argmax(axis=1) == held_back.labels
    poses, held_poses = (np.stack([_mean_pose(joints) for joints in half.joints]) for half in (clips, held_back))
    curves, held_curves = (plain_features(half).reshape(len(half), -1) for half in (clips, held_back))
    return {
        "clips": len(clips),
        "held_back": len(held_back),
        "accuracy": float(right.mean()),
        "top5": top_k(logits, held_back.labels, 5),
        "per_class": {
            name: round(float(right[held_back.labels == row].mean()), 3) for row, name in enumerate(clips.classes)
        },
        "baseline_majority": majority(clips.labels, held_back.labels),
        "baseline_mean_pose_logistic": logistic_regression(poses, clips.labels, held_poses, held_back.labels),
        "baseline_nearest_clip": nearest_neighbour(curves, clips.labels, held_curves, held_back.labels),
    }


def _mean_pose(joints: np.ndarray) -> np.ndarray:
    """(30,): the mean pose relative to the hips in lengths of the torso; nothing of how it moves."""
    moving = resample(joints)
    hips = moving[:, 5:7].mean(axis=1, keepdims=True)
    torso = max(float(np.median(np.linalg.norm(moving[:, 0] - hips[:, 0], axis=1))), 1e-6)
    return ((moving - hips) / torso).mean(axis=0).ravel()
