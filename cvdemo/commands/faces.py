"""``python -m cvdemo faces detect``: faces and their landmarks in a picture or a folder, without a browser."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from cvdemo.core.errors import CvDemoError, InputError
from cvdemo.core.media import read_picture, save_picture
from cvdemo.faces.align import align_all
from cvdemo.faces.detector import DEFAULT_MODEL, FaceSettings, decode_faces, infer_faces
from cvdemo.faces.draw import draw_faces
from cvdemo.faces.labels import CATEGORY
from cvdemo.faces.result import Faces

PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Register the subcommand ``faces`` and, under it, ``detect``."""
    parser: argparse.ArgumentParser = subparsers.add_parser("faces", help="find faces and their landmarks")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    detect = actions.add_parser("detect", help="faces and five landmarks each", description=__doc__)
    detect.add_argument("input", type=_local_path, metavar="INPUT", help="a picture or a folder of pictures")
    detect.add_argument("--model", default=DEFAULT_MODEL, help="see `python -m cvdemo models` (default: %(default)s)")
    detect.add_argument("--json", metavar="FILE", help="write the result as JSON; - for standard output")
    detect.add_argument("--coco", metavar="FILE", help="write the result in COCO's json layout; - for standard output")
    detect.add_argument("--csv", metavar="FILE", help="write one line per face; - for standard output")
    detect.add_argument("--save", type=Path, metavar="FILE", help="write the drawn picture; a folder for a folder")
    detect.add_argument("--crops", type=Path, metavar="DIR", help="write each face, aligned, 112x112")
    FaceSettings.add_arguments(detect)
    detect.set_defaults(run=run)
    return parser


def _local_path(text: str) -> Path:
    if "://" in text:  # Path would fold the two slashes into one and hide the reason
        raise argparse.ArgumentTypeError(f"{text} is a web address, not a file; download it and give the file")
    return Path(text)


def run(args: argparse.Namespace) -> int:
    """Do what the arguments say; 0 when every input could be read, 1 when some could not."""
    settings = FaceSettings.from_arguments(args)
    if args.crops is not None:
        _make_folder(args.crops, args.input)
    # Not Path.is_dir, which raises for names the file system cannot hold.
    if os.path.isdir(args.input):
        return _folder(args, settings)
    faces = _picture(args.input, args, settings, args.save, args.input.stem)
    print(f"{args.input.name}: {faces.sentence()}", file=sys.stderr)
    _write(args.json, _to_json(faces.to_dict(args.input.name)))
    _write(args.coco, _to_json(coco_document([(args.input.name, faces)])))
    _write(args.csv, faces.to_csv(args.input.name))
    return 0


def _picture(path: Path, args: argparse.Namespace, settings: FaceSettings, save: Path | None, stem: str) -> Faces:
    picture = read_picture(path)
    faces = decode_faces(infer_faces(picture, args.model), settings)
    if save is not None:
        save_picture(save, draw_faces(picture.pixels, faces))
    if args.crops is not None:
        for number, crop in enumerate(align_all(picture.pixels, faces), 1):
            save_picture(args.crops / f"{stem}-{number}.png", crop)
    return faces


def _folder(args: argparse.Namespace, settings: FaceSettings) -> int:
    paths = sorted(p for p in args.input.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES)
    if not paths:
        raise InputError(
            f"{args.input} holds no pictures.", hint=f"Known endings: {' '.join(sorted(PICTURE_SUFFIXES))}."
        )
    if args.save is not None:
        _make_folder(args.save, args.input)
    stems = Counter(path.stem for path in paths)
    found: list[tuple[str, Faces]] = []
    failed = 0
    for number, path in enumerate(paths, 1):
        stem = path.stem if stems[path.stem] == 1 else path.name  # a.jpg and a.png must not share a.png
        target = args.save / f"{stem}.png" if args.save is not None else None
        try:
            faces = _picture(path, args, settings, target, stem)
        except InputError as error:  # one bad file must not cost the others
            failed += 1
            print(f"[{number}/{len(paths)}] {error}", file=sys.stderr)
            continue
        found.append((path.name, faces))
        print(f"[{number}/{len(paths)}] {path.name}: {faces.sentence()}", file=sys.stderr)
    _write(args.json, _to_json({"pictures": [faces.to_dict(name) for name, faces in found]}))
    _write(args.coco, _to_json(coco_document(found)))
    _write(args.csv, "".join(f.to_csv(name, header=not index) for index, (name, f) in enumerate(found)))
    return 1 if failed else 0


def coco_document(found: list[tuple[str, Faces]]) -> dict[str, Any]:
    """Faces of several pictures as one COCO keypoint document; picture ids count from 1."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, (name, faces) in enumerate(found, 1):
        images.append({"id": image_id, "file_name": name, "width": faces.width, "height": faces.height})
        for row in faces.to_coco(image_id):
            extra = {"id": len(annotations) + 1, "num_keypoints": 5, "iscrowd": 0}
            annotations.append(row | extra | {"area": round(row["bbox"][2] * row["bbox"][3], 2)})
    return {"images": images, "annotations": annotations, "categories": [CATEGORY]}


def _make_folder(folder: Path, source: Path) -> None:
    if folder.resolve() == source.resolve():
        raise InputError(f"The results would write over the pictures in {folder}.", hint="Give another folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder} cannot be used as a folder: {error.strerror}.", hint="Choose another place."
        ) from error


def _to_json(value: Any) -> str:
    return json.dumps(value, indent=1) + "\n"


def _write(target: str | None, text: str) -> None:
    if target == "-":
        sys.stdout.write(text)
    elif target:
        try:
            Path(target).write_text(text, encoding="utf-8")
        except OSError as error:
            raise CvDemoError(
                f"{target} could not be written: {error.strerror}.", hint="Choose another place."
            ) from error
