"""Embed faces with a published network, so that the compact embedder can learn from its outputs.

``python -m cvdemo.faces.embed_label --teacher mobilefacenet.onnx --out PACK FOLDER [FOLDER ...]``

Faces are found by the project's own detector in any folder of pictures, aligned, and written with the teacher's
embedding (of the face and its mirror image, added) and, where the folders tell, whose they are. The teacher is a
MobileFaceNet (Chen et al. 2018, arXiv:1804.07573) run by ONNX Runtime, which is needed for this step only. Only outputs
are used; the teacher's weights are not shipped. Packs hold other people's faces: they stay where they are written.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cvdemo.core.errors import CvDemoError, InputError
from cvdemo.core.lazy import cv2
from cvdemo.faces.align import align
from cvdemo.faces.detector import FaceDetectionSettings, decode_faces, infer_faces
from cvdemo.faces.embed_data import save_pack, shared_names
from cvdemo.faces.embedder import unit
from cvdemo.faces.nets.compact_embedder import DIMENSIONS, SIZE
from cvdemo.faces.result import Faces

SUFFIXES = {".jpg", ".jpeg", ".png", ".pgm"}
MEAN, SPREAD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
SURE, SMALLEST = 0.5, 20.0
TINY, ENLARGED, RIM = 96, 144, 40  # pixels: smaller pictures are faces cut out tightly, and get air around them
TOGETHER = 32

Teach = Callable[[np.ndarray], np.ndarray]


class OnnxTeacher:
    """Aligned faces -> embeddings, by an ONNX file that takes (N, 3, 112, 112) RGB with ImageNet's mean and spread."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise CvDemoError(
                "ONNX Runtime is needed to run the teacher.", hint="Install requirements-dev.txt."
            ) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.name = self.session.get_inputs()[0].name
        self.any_number = not isinstance(self.session.get_inputs()[0].shape[0], int)

    def __call__(self, crops: np.ndarray) -> np.ndarray:
        """(N, 112, 112, 3) uint8 RGB -> (N, 128) float32 of unit length: the face's and its mirror image's, added."""
        both = np.concatenate([crops, crops[:, :, ::-1]])
        blob = ((both.astype(np.float32) / 255 - MEAN) / SPREAD).transpose(0, 3, 1, 2)
        parts = [blob] if self.any_number else np.split(blob, len(blob))
        rows = np.concatenate([self.session.run(None, {self.name: np.ascontiguousarray(p)})[0] for p in parts])
        vectors = unit(rows)
        return unit(vectors[: len(crops)] + vectors[len(crops) :])


def pictures_under(folders: Iterable[Path], every: int = 1) -> list[tuple[Path, Path]]:
    """(root, picture) of every ``every``-th picture below the folders, sorted."""
    found = sorted((root, p) for root in folders for p in root.rglob("*") if p.suffix.lower() in SUFFIXES)
    return found[::every]


def read_people(text: str | None) -> Callable[[Path], str | None]:
    """Whose face a picture shows, by ``--people``: None for nobody known, "folder" for the name of its folder.

    Anything else is a file with a line ``PICTURE PERSON`` a picture, as CelebA's; InputError when it cannot be read.
    """
    if text is None:
        return lambda path: None
    if text == "folder":
        return lambda path: path.parent.name
    try:
        rows = [line.rsplit(maxsplit=1) for line in Path(text).read_text().splitlines() if line.strip()]
    except OSError as error:
        raise InputError(f"{text} cannot be read: {error.strerror}.", hint="Give a list, or 'folder'.") from error
    table = {row[0]: row[1] for row in rows if len(row) == 2}
    return lambda path: table.get(path.name)


def read_names(path: Path | None) -> list[str]:
    """Names of people, from the folders in a folder or the lines of a file; none for None."""
    if path is None:
        return []
    try:
        if path.is_dir():
            return sorted(p.name for p in path.iterdir() if p.is_dir())
        return [line.strip() for line in path.read_text().splitlines() if line.strip()]
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.", hint="Give a folder or a list.") from error


def main_face(faces: Faces) -> Faces:
    """The largest face alone, which is whom a portrait is of."""
    return faces.take(np.argsort(-faces.sides(), kind="stable")[:1])


def crops_of(path: Path, aligned: bool, only_one: bool) -> np.ndarray | None:
    """Aligned faces (N, 112, 112, 3) RGB of a picture file; None when it cannot be read."""
    picture = cv2.imread(str(path))
    if picture is None or min(picture.shape[:2]) < 16:
        return None
    pixels = np.ascontiguousarray(picture[:, :, ::-1])
    if aligned:
        return cv2.resize(pixels, (SIZE, SIZE), interpolation=cv2.INTER_AREA)[None]
    if min(pixels.shape[:2]) < TINY:
        scale = ENLARGED / min(pixels.shape[:2])
        size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC)
        pixels = np.asarray(cv2.copyMakeBorder(pixels, RIM, RIM, RIM, RIM, cv2.BORDER_REPLICATE))
    faces = decode_faces(infer_faces(pixels), FaceDetectionSettings(score_threshold=SURE, min_size=SMALLEST))
    faces = main_face(faces) if only_one else faces
    crops = [align(pixels, points) for points in faces.landmarks]
    return np.stack(crops) if crops else np.zeros((0, SIZE, SIZE, 3), np.uint8)


def label(
    paths: Sequence[Path],
    person_of: Callable[[Path], str | None],
    teach: Teach,
    *,
    excluded: Iterable[str] = (),
    aligned: bool = False,
) -> dict[str, Any]:
    """Faces of the pictures, their teacher embeddings, and whose they are.

    excluded: names of people whose pictures are not even opened.   aligned: every picture is one aligned face.
    Returns the arguments of ``save_pack`` after its folder, and ``unreadable``, a count.
    """
    left_out = set(excluded)
    known = sorted({name for name in map(person_of, paths) if name is not None} - left_out)
    number = {name: index for index, name in enumerate(known)}
    faces, teacher, person = [], [], []
    waiting: list[np.ndarray] = []
    unreadable = 0

    def embed() -> None:
        if waiting:
            teacher.append(teach(np.concatenate(waiting)))
            waiting.clear()

    for done, path in enumerate(paths, 1):
        name = person_of(path)
        if name in left_out:
            continue
        crops = crops_of(path, aligned, only_one=name is not None)
        if crops is None:
            unreadable += 1
        elif len(crops):
            faces.append(crops)
            waiting.append(crops)
            person += [-1 if name is None else number[name]] * len(crops)
        if sum(map(len, waiting)) >= TOGETHER:
            embed()
        if done % 200 == 0 or done == len(paths):
            print(f"\r{done}/{len(paths)} pictures, {len(person)} faces", end="", file=sys.stderr, flush=True)
    embed()
    pixels = np.concatenate(faces) if faces else np.zeros((0, SIZE, SIZE, 3), np.uint8)
    vectors = np.concatenate(teacher) if teacher else np.zeros((0, DIMENSIONS), np.float32)
    return {"faces": pixels, "teacher": vectors, "person": person, "names": known, "unreadable": unreadable}


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the options, embed every face, write one pack."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="folders of pictures, searched recursively")
    parser.add_argument("--teacher", type=Path, required=True, help="embedding network as an ONNX file")
    parser.add_argument("--out", type=Path, required=True, help="folder of the pack to write")
    parser.add_argument("--every", type=int, default=1, help="look only at every so many pictures")
    parser.add_argument("--people", metavar="folder|FILE", help="whose faces they are: folder names, or a list")
    parser.add_argument("--exclude", type=Path, help="leave out people named here: a folder of folders, or a list")
    parser.add_argument("--aligned", action="store_true", help="every picture is an aligned face already")
    parser.add_argument("--without-pixels", action="store_true", help="keep the embeddings alone, to compare people")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(arguments)
    cv2.setNumThreads(args.threads)
    try:
        person_of = read_people(args.people)
        paths = [path for _, path in pictures_under(args.folders, args.every)]
        people = sorted({name for name in map(person_of, paths) if name is not None})
        excluded = shared_names(people, read_names(args.exclude))
        if excluded:
            print(f"left out: {len(excluded)} of {len(people)} people: {', '.join(excluded)}", file=sys.stderr)
        made = label(paths, person_of, OnnxTeacher(args.teacher, args.threads), excluded=excluded, aligned=args.aligned)
    except CvDemoError as error:
        sys.exit(str(error))
    unreadable, count = made.pop("unreadable"), len(made["person"])
    if args.without_pixels:
        made["faces"] = made["faces"][:0]
    save_pack(args.out, **made)
    known = sum(p >= 0 for p in made["person"])
    print(
        f"\n{args.out}: {count} faces, {known} of them of {len(made['names'])} people, {unreadable} unreadable",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
