"""``python -m cvdemo faces``: faces and their landmarks in a picture or a folder, without a browser.

``compare``, ``enrol``, ``search`` and ``forget`` are in ``faces_match``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from cvdemo.commands import faces_match
from cvdemo.commands.shared import each_picture, is_folder, local_path, make_folder, to_json, write
from cvdemo.core.media import read_picture, save_picture
from cvdemo.faces.align import align_all
from cvdemo.faces.detector import DEFAULT_MODEL, FaceDetectionSettings, decode_faces, infer_faces
from cvdemo.faces.draw import draw_faces
from cvdemo.faces.labels import CATEGORY
from cvdemo.faces.result import Faces


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Register the subcommand ``faces`` and its actions."""
    parser: argparse.ArgumentParser = subparsers.add_parser("faces", help="find faces, compare them, recognise people")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    detect = actions.add_parser("detect", help="faces and five landmarks each", description=__doc__)
    detect.add_argument("input", type=local_path, metavar="INPUT", help="a picture or a folder of pictures")
    detect.add_argument("--model", default=DEFAULT_MODEL, help="see `python -m cvdemo models` (default: %(default)s)")
    detect.add_argument("--json", metavar="FILE", help="write the result as JSON; - for standard output")
    detect.add_argument("--coco", metavar="FILE", help="write the result in COCO's json layout; - for standard output")
    detect.add_argument("--csv", metavar="FILE", help="write one line per face; - for standard output")
    detect.add_argument("--save", type=Path, metavar="FILE", help="write the drawn picture; a folder for a folder")
    detect.add_argument("--crops", type=Path, metavar="DIR", help="write each face, aligned, 112x112")
    FaceDetectionSettings.add_arguments(detect)
    detect.set_defaults(run=run)
    faces_match.add_actions(actions)
    return parser


def run(args: argparse.Namespace) -> int:
    """Do what the arguments say; 0 when every input could be read, 1 when some could not."""
    settings = FaceDetectionSettings.from_arguments(args)
    if args.crops is not None:
        make_folder(args.crops, args.input)
    if is_folder(args.input):
        return _folder(args, settings)
    faces = _picture(args.input, args, settings, args.save, args.input.stem)
    print(f"{args.input.name}: {faces.sentence()}", file=sys.stderr)
    write(args.json, to_json(faces.to_dict(args.input.name)))
    write(args.coco, to_json(coco_document([(args.input.name, faces)])))
    write(args.csv, faces.to_csv(args.input.name))
    return 0


def _picture(
    path: Path, args: argparse.Namespace, settings: FaceDetectionSettings, save: Path | None, stem: str
) -> Faces:
    picture = read_picture(path)
    faces = decode_faces(infer_faces(picture, args.model), settings)
    if save is not None:
        save_picture(save, draw_faces(picture.pixels, faces))
    if args.crops is not None:
        for number, crop in enumerate(align_all(picture.pixels, faces), 1):
            save_picture(args.crops / f"{stem}-{number}.png", crop)
    return faces


def _folder(args: argparse.Namespace, settings: FaceDetectionSettings) -> int:
    if args.save is not None:
        make_folder(args.save, args.input)

    def look(path: Path, stem: str) -> Faces:
        target = args.save / f"{stem}.png" if args.save is not None else None
        return _picture(path, args, settings, target, stem)

    found, failed = each_picture(args.input, look, Faces.sentence)
    write(args.json, to_json({"pictures": [faces.to_dict(name) for name, faces in found]}))
    write(args.coco, to_json(coco_document(found)))
    write(args.csv, "".join(f.to_csv(name, header=not index) for index, (name, f) in enumerate(found)))
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
