"""The networks of the style task. Importing this module registers them.

Two encoders that the losses look through, the arbitrary-style network, and one feed-forward network per style.
"""

from __future__ import annotations

from cvdemo.core.registry import ModelSpec, Precision, WeightsFile, register
from cvdemo.style.features import build_vgg19, prepare_vgg19
from cvdemo.style.nets.adain_decoder import AdaInNetwork
from cvdemo.style.nets.compact_vgg import CompactVgg
from cvdemo.style.nets.transformer_net import TransformerNet
from cvdemo.style.raw import (
    agree_features,
    agree_pictures,
    example_decode,
    example_small,
    run_adain,
    run_encoder,
    run_fast,
)

TASK = "style"
COMPACT_ENCODER, VGG19, ADAIN = "compact-vgg", "vgg19", "compact-adain"
FAST_FIGURES = {"mosaic": (0.79, 1.49), "waves": (0.92, 1.42), "brush-strokes": (0.67, 1.73)}
"""Of each feed-forward network: its reduction of the style loss as a share of that by 100 steps of optimisation, its
content loss in units of that by optimisation; 20 photographs, ``python -m cvdemo evaluate style --model …``."""
FAST_STYLES = tuple(FAST_FIGURES)
"""The project's own style pictures that a feed-forward network is trained for."""

ENCODER_FILE = WeightsFile("compact_vgg.safetensors")
# Gradients are followed through the encoders, so neither traced nor in half precision.
_EXACT = (Precision(), Precision(channels_last=True))
_FAST = (*_EXACT, Precision("bfloat16", channels_last=True))


def fast_name(style: str) -> str:
    """The registry name of a style's feed-forward network: "fast-waves"."""
    return f"fast-{style}"


register(
    ModelSpec(
        name=COMPACT_ENCODER,
        task=TASK,
        tier="compact",
        title="Compact VGG encoder (ships with cvdemo)",
        family="encoder for style losses",
        architecture="nine 3x3 convolutions in five blocks, ReLU, average pooling, reflected borders; filters rescaled "
        "to a mean activation of 1",
        year=2026,
        paper="after Simonyan and Zisserman 2014, arXiv:1409.1556, and Gatys et al. 2016, CVPR",
        lecture="deck 003: neural style transfer, feature inversion, texture synthesis",
        parameters=1_095_792,
        gflops=1.765,  # at 256 x 256
        metrics={"every third imagenette160 val picture, top-1 of 1,000 classes, with its last layers": 0.525},
        licence="MIT",
        input="RGB in [0, 1], any size from 32 pixels a side",
        weights=ENCODER_FILE,
        build=CompactVgg,
        run=run_encoder,
        example=example_small,
        agrees=agree_features,
        precisions=_EXACT,
        extras={"kind": "encoder"},
    )
)
register(
    ModelSpec(
        name=VGG19,
        task=TASK,
        tier="full",
        title="VGG19, the encoder of the papers",
        family="encoder for style losses",
        architecture="sixteen 3x3 convolutions in five blocks, ReLU, maximum pooling; the classifier is left out",
        year=2014,
        paper="Simonyan and Zisserman, Very Deep Convolutional Networks, arXiv:1409.1556",
        lecture="deck 003: neural style transfer, feature inversion, texture synthesis",
        parameters=143_667_240,
        gflops=19.632,
        metrics={"ImageNet val top-1": 72.376, "ImageNet val top-5": 90.876},
        licence="BSD-3-Clause (torchvision); weights trained on ImageNet-1K",
        input="RGB normalised with ImageNet's mean and deviation, any size from 32 pixels a side",
        weights=WeightsFile.from_url("https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"),
        build=build_vgg19,
        run=run_encoder,
        example=example_small,
        agrees=agree_features,
        prepare=prepare_vgg19,
        precisions=_EXACT,
        extras={"kind": "encoder"},
    )
)
register(
    ModelSpec(
        name=ADAIN,
        task=TASK,
        tier="compact",
        title="Arbitrary style, AdaIN (ships with cvdemo)",
        family="one forward pass, any style",
        architecture="compact VGG encoder to relu4_1, AdaIN at three layers, mirrored decoder",
        year=2017,
        paper="Huang and Belongie, Arbitrary Style Transfer in Real-time, arXiv:1703.06868",
        lecture="deck 003: real-time arbitrary style transfer",
        parameters=1_428_467,
        gflops=4.01,  # content and style at 256 x 256 and one decoding
        metrics={
            "reduction of the style loss, share of that by 100 steps of optimisation, 200 pairs": 0.85,
            "content loss, in units of that by optimisation": 1.11,
        },
        licence="MIT",
        input="RGB in [0, 1], sides multiples of 8 from 32 pixels",
        weights=WeightsFile("compact_adain_decoder.safetensors"),
        borrowed={"encoder.": ENCODER_FILE},
        build=AdaInNetwork,
        run=run_adain,
        example=example_decode,
        agrees=agree_pictures,
        precisions=_FAST,
        extras={"kind": "adain"},
    )
)
for _style, (_reduction, _content) in FAST_FIGURES.items():
    register(
        ModelSpec(
            name=fast_name(_style),
            task=TASK,
            tier="compact",
            title=f"Feed-forward: {_style.replace('-', ' ')} (ships with cvdemo)",
            family="one forward pass, one style",
            architecture="two halvings, three residual blocks, two doublings; instance normalisation",
            year=2016,
            paper="Johnson et al., Perceptual Losses, arXiv:1603.08155; Ulyanov et al., arXiv:1607.08022",
            lecture="deck 003: fast style transfer",
            parameters=276_131,
            gflops=2.171,  # at 256 x 256
            metrics={
                "reduction of the style loss, share of that by 100 steps of optimisation, 20 pairs": _reduction,
                "content loss, in units of that by optimisation": _content,
            },
            licence="MIT",
            input="RGB in [0, 1], any size from 32 pixels a side",
            weights=WeightsFile(f"style_{_style.replace('-', '_')}.safetensors"),
            build=TransformerNet,
            run=run_fast,
            example=example_small,
            agrees=agree_pictures,
            precisions=_FAST,
            extras={"kind": "fast", "style": _style},
        )
    )
