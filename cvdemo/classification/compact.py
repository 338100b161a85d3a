"""The compact classifier as the registry knows it: 1,000 ImageNet classes, live on a small processor."""

from __future__ import annotations

import functools

from cvdemo.classification.labels import IMAGENET_CLASSES
from cvdemo.classification.nets.compact_backbone import CompactClassifier
from cvdemo.classification.prepare import Preprocess
from cvdemo.classification.raw import agree, classify, example_picture, feature_vectors
from cvdemo.core.registry import ModelSpec, Precision, WeightsFile, register
from cvdemo.core.tracing import fused

SPEC_NAME = "compact-classifier"
HEAD = "head"
# The middle square, whole: the recipe showed it crops of 20 to 100 % of a picture. The network normalises by itself.
PREPROCESS = Preprocess(160, 160, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), resampling="area")


register(
    ModelSpec(
        name=SPEC_NAME,
        task="classification",
        tier="compact",
        title="Compact classifier (ships with cvdemo)",
        family="convolutional network",
        architecture="cross-stage partial blocks of 3x3 convolutions, average pooling, one linear layer",
        year=2026,
        paper="after CSPNet, Wang et al. 2019, arXiv:1911.11929; distilled as in Hinton et al. 2015, arXiv:1503.02531",
        lecture="all decks: what a convolutional classifier is",
        parameters=1_917_752,
        gflops=0.1024,  # at 160 x 160
        metrics={
            "imagenette160 val top-1 (of 1,000 classes)": 0.759,
            "Tiny ImageNet val top-1": 0.279,
            "photographs of 200 classes, most of them new to it, top-5": 0.185,
        },
        licence="MIT",
        categories=IMAGENET_CLASSES,
        input=PREPROCESS.words(),
        weights=WeightsFile("compact_classifier.safetensors"),
        build=CompactClassifier,
        run=functools.partial(classify, preprocess=PREPROCESS, head=HEAD, name=SPEC_NAME, categories=IMAGENET_CLASSES),
        example=example_picture,
        agrees=agree,
        prepare=fused,
        # No traced form: the explanations need layers to look into and gradients to follow.
        precisions=(Precision(), Precision(channels_last=True), Precision("bfloat16", channels_last=True)),
        extras={
            "preprocess": PREPROCESS.facts(),
            "prepare_input": PREPROCESS,
            "gradcam_layer": "widen",
            "gradcam_unsupported": "",
            "head_layer": HEAD,
            "embed": functools.partial(feature_vectors, preprocess=PREPROCESS, head=HEAD),
            "defaults": {},
        },
    )
)
