"""torchvision's published ImageNet classifiers and the Places365 scene classifier, the full tier.

Facts are written here and compared with torchvision's own weight entries by the tests: importing torchvision takes a
second and 160 MB, which the page spends only when one of its models is run.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cvdemo.classification.labels import IMAGENET_CLASSES
from cvdemo.classification.prepare import Preprocess
from cvdemo.classification.raw import agree, classify, example_picture, feature_vectors
from cvdemo.core.registry import ModelSpec, Precision, WeightsFile, register

PRECISIONS = (Precision(), Precision(channels_last=True), Precision("bfloat16", channels_last=True))
PLACES = "places365-resnet18"
NO_FEATURE_MAP = (
    "Grad-CAM needs a convolutional feature map; this transformer turns the picture into tokens. Use occlusion or "
    "gradients instead."
)

_PUBLISHED_AT = "https://download.pytorch.org/models/"
_TRANSFORMER = "vision transformer"
_CONVOLUTIONAL = "convolutional network"


def places_classes() -> tuple[str, ...]:
    """The 365 scene categories in the order of the network's outputs, such as "bakery (shop)"."""
    text = (Path(__file__).parent / "places365_classes.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())


def build_torchvision(name: str) -> nn.Module:
    """torchvision's classifier of that name with random weights, in eval mode."""
    from torchvision import models

    network: nn.Module = getattr(models, name)(weights=None)
    return network.eval()


class PlacesFile(nn.Module):
    """ResNet-18 for 365 classes under the names of the published file, which was saved from a parallel wrapper."""

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import resnet18

        self.module = resnet18(weights=None, num_classes=365)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.module(x)
        return logits


def prepare_torchvision(network: nn.Module) -> nn.Module:
    """Fold batch normalisation into the convolutions before it; unwrap the Places network."""
    from cvdemo.core.fusing import fuse_batch_norm

    return fuse_batch_norm(network.module if isinstance(network, PlacesFile) else network)


def _running(preprocess: Preprocess, head: str, name: str, categories: tuple[str, ...]) -> dict[str, Any]:
    """The functions of an entry."""
    options: dict[str, Any] = {"preprocess": preprocess, "head": head}
    return {
        "run": functools.partial(classify, **options, name=name, categories=categories),
        "example": example_picture,
        "agrees": agree,
        "precisions": PRECISIONS,
        "prepare": prepare_torchvision,
        "input": preprocess.words(),
        "categories": categories,
    }


def _extras(preprocess: Preprocess, head: str, gradcam_layer: str | None) -> dict[str, Any]:
    return {
        "preprocess": preprocess.facts(),
        "prepare_input": preprocess,
        "gradcam_layer": gradcam_layer,
        "gradcam_unsupported": "" if gradcam_layer else NO_FEATURE_MAP,
        "head_layer": head,
        "embed": functools.partial(feature_vectors, preprocess=preprocess, head=head),
        "defaults": {},
    }


def torchvision_spec(
    name: str,
    filename: str,
    *,
    accuracy: tuple[float, float],
    head: str,
    gradcam_layer: str | None,
    preprocess: Preprocess | None = None,
    **facts: Any,
) -> ModelSpec:
    """A registry entry for torchvision's builder ``name`` and its published file.

    accuracy: published top-1 and top-5 on ImageNet's validation pictures, per cent.   head: dotted name of the last
    linear layer.   gradcam_layer: dotted name of the last convolutional feature map, None where there is none.
    preprocess: default shorter side 256, crop 224.   facts: parameters, gflops, title, architecture, year, paper, ...
    """
    preprocess = preprocess or Preprocess(256, 224)
    return ModelSpec(
        name=name,
        task="classification",
        tier="full",
        metrics={"ImageNet val top-1": accuracy[0], "ImageNet val top-5": accuracy[1]},
        licence="BSD-3-Clause (torchvision); weights trained on ImageNet-1K",
        weights=WeightsFile.from_url(_PUBLISHED_AT + filename),
        build=functools.partial(build_torchvision, name),
        extras=_extras(preprocess, head, gradcam_layer),
        **_running(preprocess, head, name, IMAGENET_CLASSES),
        **{"family": _CONVOLUTIONAL, **facts},
    )


TORCHVISION_SPECS = (
    torchvision_spec(
        "alexnet",
        "alexnet-owt-7be5be79.pth",
        parameters=61_100_840,
        gflops=0.714,
        accuracy=(56.522, 79.066),
        head="classifier.6",
        gradcam_layer="features.11",
        title="AlexNet",
        architecture="five convolutions and three linear layers, which hold 96 % of the parameters",
        year=2012,
        paper="Krizhevsky et al., NeurIPS 2012; this variant: Krizhevsky 2014, arXiv:1404.5997",
        lecture="all decks: AlexNet, where deep learning of vision took off",
    ),
    torchvision_spec(
        "vgg16",
        "vgg16-397923af.pth",
        parameters=138_357_544,
        gflops=15.47,
        accuracy=(71.592, 90.382),
        head="classifier.6",
        gradcam_layer="features.29",
        title="VGG-16",
        architecture="thirteen 3x3 convolutions in five blocks, three linear layers",
        year=2014,
        paper="Simonyan and Zisserman, arXiv:1409.1556",
        lecture="all decks: VGG, deeper with small kernels",
    ),
    torchvision_spec(
        "resnet18",
        "resnet18-f37072fd.pth",
        parameters=11_689_512,
        gflops=1.814,
        accuracy=(69.758, 89.078),
        head="fc",
        gradcam_layer="layer4",
        title="ResNet-18",
        architecture="eight residual blocks of two 3x3 convolutions, average pooling, one linear layer",
        year=2015,
        paper="He et al., arXiv:1512.03385",
        lecture="all decks: residual connections",
    ),
    torchvision_spec(
        "resnet50",
        "resnet50-11ad3fa6.pth",
        parameters=25_557_032,
        gflops=4.089,
        accuracy=(80.858, 95.434),
        head="fc",
        gradcam_layer="layer4",
        preprocess=Preprocess(232, 224),
        title="ResNet-50",
        architecture="sixteen bottleneck residual blocks, average pooling, linear layer; torchvision's newer recipe",
        year=2015,
        paper="He et al., arXiv:1512.03385",
        lecture="all decks: residual connections, deeper is better",
    ),
    torchvision_spec(
        "mobilenet_v3_large",
        "mobilenet_v3_large-5c1a4163.pth",
        parameters=5_483_032,
        gflops=0.217,
        accuracy=(75.274, 92.566),
        head="classifier.3",
        gradcam_layer="features",
        preprocess=Preprocess(232, 224),
        title="MobileNetV3-Large",
        architecture="inverted residual blocks of depthwise convolutions with squeeze-and-excitation, found by search",
        year=2019,
        paper="Howard et al., arXiv:1905.02244",
        lecture="Michigan: efficient networks, speed against accuracy",
    ),
    torchvision_spec(
        "mobilenet_v3_small",
        "mobilenet_v3_small-047dcff4.pth",
        parameters=2_542_856,
        gflops=0.057,
        accuracy=(67.668, 87.402),
        head="classifier.3",
        gradcam_layer="features",
        title="MobileNetV3-Small",
        architecture="as MobileNetV3-Large with fewer and narrower blocks",
        year=2019,
        paper="Howard et al., arXiv:1905.02244",
        lecture="Michigan: efficient networks, speed against accuracy",
    ),
    torchvision_spec(
        "efficientnet_b0",
        "efficientnet_b0_rwightman-7f5810bc.pth",
        parameters=5_288_548,
        gflops=0.386,
        accuracy=(77.692, 93.532),
        head="classifier.1",
        gradcam_layer="features",
        preprocess=Preprocess(256, 224, resampling="bicubic"),
        title="EfficientNet-B0",
        architecture="inverted residual blocks with squeeze-and-excitation; depth, width and size scaled together",
        year=2019,
        paper="Tan and Le, arXiv:1905.11946",
        lecture="Michigan: efficient networks, compound scaling",
    ),
    torchvision_spec(
        "convnext_tiny",
        "convnext_tiny-983f1562.pth",
        parameters=28_589_128,
        gflops=4.456,
        accuracy=(82.52, 96.146),
        head="classifier.2",
        gradcam_layer="features",
        preprocess=Preprocess(236, 224),
        title="ConvNeXt-Tiny",
        architecture="7x7 depthwise convolutions and layer normalisation: a ResNet with a transformer's proportions",
        year=2022,
        paper="Liu et al., arXiv:2201.03545",
        lecture="Michigan: convolutional networks after transformers",
    ),
    torchvision_spec(
        "vit_b_16",
        "vit_b_16-c867db91.pth",
        parameters=86_567_656,
        gflops=17.564,
        accuracy=(81.072, 95.318),
        head="heads.head",
        gradcam_layer=None,
        family=_TRANSFORMER,
        title="ViT-B/16",
        architecture="197 tokens of 16x16 px patches through twelve blocks of self-attention",
        year=2020,
        paper="Dosovitskiy et al., arXiv:2010.11929",
        lecture="Michigan: vision transformers",
    ),
    torchvision_spec(
        "swin_t",
        "swin_t-704ceda3.pth",
        parameters=28_288_354,
        gflops=4.491,
        accuracy=(81.474, 95.776),
        head="head",
        gradcam_layer=None,
        preprocess=Preprocess(232, 224, resampling="bicubic"),
        family=_TRANSFORMER,
        title="Swin-T",
        architecture="self-attention inside of shifted windows, four stages of shrinking resolution",
        year=2021,
        paper="Liu et al., arXiv:2103.14030",
        lecture="Michigan: vision transformers with a pyramid",
    ),
)


def places_spec() -> ModelSpec:
    """The publishers' ResNet-18 for 365 kinds of scene."""
    preprocess = Preprocess(256, 224, squash=True)
    return ModelSpec(
        name=PLACES,
        task="classification",
        tier="full",
        title="Places365, ResNet-18 (not verified)",
        family=_CONVOLUTIONAL,
        architecture="ResNet-18 with 365 outputs. Not verified: no copy of its file could be tried where this was "
        "written; names and order of the classes are the publishers'",
        year=2017,
        paper="Zhou et al., Places, IEEE TPAMI 2018, doi:10.1109/TPAMI.2017.2723009",
        lecture="HUST chapter 3: scene attributes",
        parameters=11_363_757,
        gflops=1.813,
        licence="CC BY (weights and categories, Places project, MIT)",
        weights=WeightsFile.from_url("http://places2.csail.mit.edu/models_places365/resnet18_places365.pth.tar"),
        build=PlacesFile,
        extras={**_extras(preprocess, "fc", "layer4"), "note": "Not verified on the machine this was written on."},
        **_running(preprocess, "fc", PLACES, places_classes()),
    )


for _spec in (*TORCHVISION_SPECS, places_spec()):
    register(_spec)
