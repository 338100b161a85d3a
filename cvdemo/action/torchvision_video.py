"""torchvision's published Kinetics-400 models, the full tier.

Facts are written here and compared with torchvision's own weight entries by the tests: importing torchvision takes a
second and 160 MB, which the page spends only when one of its models is run.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from torch import nn

from cvdemo.action.clips import Clip, ClipSpec, example_clip
from cvdemo.action.prepare import ClipPreprocess
from cvdemo.action.raw import RawScores, agree, facts_of
from cvdemo.core.registry import ModelSpec, Precision, RunContext, WeightsFile, register

KINETICS_MEAN, KINETICS_STD = (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)
_PUBLISHED_AT = "https://download.pytorch.org/models/"
_SLIDE_3D = "deck 004: video models using 3D convolutions; deck 000: 3D convolution operation"
_SLIDE_ATTENTION = "deck 004: challenges in video processing; attention instead of convolution"


@functools.cache
def kinetics_classes() -> tuple[str, ...]:
    """The 400 actions in the order of the models' outputs, such as "abseiling"."""
    text = (Path(__file__).parent / "kinetics_classes.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())


def build(name: str) -> nn.Module:
    """torchvision's video model of that name with random weights, in eval mode."""
    from torchvision.models import video

    network: nn.Module = getattr(video, name)(weights=None)
    return network.eval()


def run(network: Any, clip: Clip, context: RunContext, *, name: str, preprocess: ClipPreprocess) -> RawScores:
    """One clip (T, H, W, 3) through the network."""
    with context.stage("preprocess"):
        blob = context.tensor(preprocess(clip.frames))  # (1, 3, T, S, S)
    context.check_cancelled()
    with context.stage("network"), context.autocast():
        logits = network(blob)  # (1, 400)
    with context.stage("decode"):
        return RawScores(logits[0].float().cpu().numpy(), kinetics_classes(), name, facts_of(clip))


def spec(
    name: str,
    filename: str,
    *,
    accuracy: tuple[float, float],
    clip: ClipSpec,
    preprocess: ClipPreprocess,
    **facts: Any,
) -> ModelSpec:
    """A registry entry for torchvision's builder ``name``.

    accuracy: published top-1 and top-5 on Kinetics-400, per cent.   clip: frames, rate and size the model was
    evaluated with.   facts: parameters, gflops, title, family, architecture, year, paper, lecture.
    """
    return ModelSpec(
        name=name,
        task="action",
        tier="full",
        metrics={"Kinetics-400 val acc@1": accuracy[0], "Kinetics-400 val acc@5": accuracy[1]},
        licence="BSD-3-Clause (torchvision); weights trained on Kinetics-400",
        categories=kinetics_classes(),
        input=f"{clip.frames} frames at {clip.rate:g} a second, {preprocess.words()}",
        weights=WeightsFile.from_url(_PUBLISHED_AT + filename),
        build=functools.partial(build, name),
        run=functools.partial(run, name=name, preprocess=preprocess),
        example=functools.partial(example_clip, clip),
        agrees=agree,
        precisions=(Precision(), Precision("bfloat16")),
        extras={"clip": clip, "preprocess": preprocess, "defaults": {}},
        **facts,
    )


_SMALL = ClipPreprocess((128, 171), 112, KINETICS_MEAN, KINETICS_STD)
_SMALL_CLIP = ClipSpec(16, 15.0, 112)
_MVIT = ClipPreprocess(256, 224, (0.45, 0.45, 0.45), (0.225, 0.225, 0.225))
_MVIT_CLIP = ClipSpec(16, 7.5, 224)
_SWIN = ClipPreprocess(256, 224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_SWIN_CLIP = ClipSpec(32, 15.0, 224)
_TRAN = "Tran et al. 2018, A Closer Look at Spatiotemporal Convolutions, arXiv:1711.11248"
_VIDEO_SWIN = "Liu et al. 2021, Video Swin Transformer, arXiv:2106.13230"

SPECS = (
    spec(
        "r3d_18",
        "r3d_18-b3b3357e.pth",
        title="R3D-18",
        family="3-D convolutional network",
        architecture="ResNet-18 with every kernel 3x3x3: space and time together",
        year=2017,
        paper=_TRAN,
        lecture=_SLIDE_3D,
        parameters=33_371_472,
        gflops=40.697,
        accuracy=(63.2, 83.479),
        clip=_SMALL_CLIP,
        preprocess=_SMALL,
    ),
    spec(
        "mc3_18",
        "mc3_18-a90a0ba3.pth",
        title="MC3-18",
        family="3-D convolutional network",
        architecture="ResNet-18 with 3x3x3 kernels in the first two stages and 1x3x3 in the others (mixed)",
        year=2017,
        paper=_TRAN,
        lecture=_SLIDE_3D,
        parameters=11_695_440,
        gflops=43.343,
        accuracy=(63.96, 84.13),
        clip=_SMALL_CLIP,
        preprocess=_SMALL,
    ),
    spec(
        "r2plus1d_18",
        "r2plus1d_18-91a641e6.pth",
        title="R(2+1)D-18",
        family="3-D convolutional network, factorised",
        architecture="ResNet-18 with each 3x3x3 kernel split into 1x3x3 in space and 3x1x1 in time",
        year=2017,
        paper=_TRAN,
        lecture=_SLIDE_3D,
        parameters=31_505_325,
        gflops=40.519,
        accuracy=(67.463, 86.175),
        clip=_SMALL_CLIP,
        preprocess=_SMALL,
    ),
    spec(
        "s3d",
        "s3d-d76dad2f.pth",
        title="S3D",
        family="inflated convolutional network, factorised",
        architecture="I3D's inflated Inception blocks with kernels split into space and time",
        year=2018,
        paper="Xie et al. 2018, Rethinking Spatiotemporal Feature Learning, arXiv:1712.04851",
        lecture="deck 004: inflating 2D kernels into 3D (I3D), of which this is the cheaper descendant",
        parameters=8_320_048,
        gflops=17.979,
        accuracy=(68.368, 88.05),
        clip=ClipSpec(128, 15.0, 224),
        preprocess=ClipPreprocess((256, 256), 224, KINETICS_MEAN, KINETICS_STD),
    ),
    spec(
        "mvit_v1_b",
        "mvit_v1_b-dbeb1030.pth",
        title="MViT v1-B",
        family="video transformer",
        architecture="multiscale vision transformer: attention whose tokens grow fewer and wider",
        year=2021,
        paper="Fan et al. 2021, Multiscale Vision Transformers, arXiv:2104.11227",
        lecture=_SLIDE_ATTENTION,
        parameters=36_610_672,
        gflops=70.599,
        accuracy=(78.477, 93.582),
        clip=_MVIT_CLIP,
        preprocess=_MVIT,
    ),
    spec(
        "mvit_v2_s",
        "mvit_v2_s-ae3be167.pth",
        title="MViT v2-S",
        family="video transformer",
        architecture="multiscale vision transformer with relative positions and residual pooling",
        year=2021,
        paper="Li et al. 2021, MViTv2, arXiv:2112.01526",
        lecture=_SLIDE_ATTENTION,
        parameters=34_537_744,
        gflops=64.224,
        accuracy=(80.757, 94.665),
        clip=_MVIT_CLIP,
        preprocess=_MVIT,
    ),
    spec(
        "swin3d_t",
        "swin3d_t-7615ae03.pth",
        title="Video Swin-T",
        family="video transformer",
        architecture="self-attention inside of shifted windows in space and time, four stages",
        year=2021,
        paper=_VIDEO_SWIN,
        lecture=_SLIDE_ATTENTION,
        parameters=28_158_070,
        gflops=43.882,
        accuracy=(77.715, 93.519),
        clip=_SWIN_CLIP,
        preprocess=_SWIN,
    ),
    spec(
        "swin3d_s",
        "swin3d_s-da41c237.pth",
        title="Video Swin-S",
        family="video transformer",
        architecture="as Video Swin-T with a deeper third stage",
        year=2021,
        paper=_VIDEO_SWIN,
        lecture=_SLIDE_ATTENTION,
        parameters=49_816_678,
        gflops=82.841,
        accuracy=(79.521, 94.158),
        clip=_SWIN_CLIP,
        preprocess=_SWIN,
    ),
    spec(
        "swin3d_b",
        "swin3d_b_22k-7c6ae6fa.pth",
        title="Video Swin-B",
        family="video transformer",
        architecture="as Video Swin-S and wider; first trained on the pictures of ImageNet-22K",
        year=2021,
        paper=_VIDEO_SWIN,
        lecture=_SLIDE_ATTENTION,
        parameters=88_048_984,
        gflops=140.667,
        accuracy=(81.643, 95.574),
        clip=_SWIN_CLIP,
        preprocess=_SWIN,
    ),
)

for _spec in SPECS:
    register(_spec)
