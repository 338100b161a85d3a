"""The 1,000 classes of the ImageNet challenge (Russakovsky et al. 2015, arXiv:1409.0575) in their official order.

``imagenet_classes.txt`` beside this file has one line a class, in the order of every ImageNet classifier's outputs: the
name and the WordNet id, by which data sets name their folders. The ids ascend: the order of the classes is theirs.
"""

from pathlib import Path


def _read() -> tuple[tuple[str, ...], dict[str, int]]:
    text = (Path(__file__).parent / "imagenet_classes.txt").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines()]
    return tuple(row[0] for row in rows), {row[1]: index for index, row in enumerate(rows)}


IMAGENET_CLASSES, INDEX_OF_WORDNET = _read()
