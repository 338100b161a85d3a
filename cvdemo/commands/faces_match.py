"""``python -m cvdemo faces compare|enrol|search|forget``: whose face it is, without a browser.

A gallery is a file of the user's own: it is written only where the command says, and holds names and embeddings.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from cvdemo.commands.shared import each_picture, is_folder, local_path, to_json, write
from cvdemo.core.errors import InputError
from cvdemo.core.media import read_picture, save_picture
from cvdemo.faces import predict
from cvdemo.faces.draw import contact_sheet, draw_faces
from cvdemo.faces.gallery import NOTICE, Gallery, GallerySettings, Match
from cvdemo.faces.predict import DEFAULT_MODEL, FaceMatchSettings, FacesInference


def add_actions(actions: Any) -> None:
    """Register ``compare``, ``enrol``, ``search`` and ``forget`` under ``faces``."""
    compare = actions.add_parser("compare", help="same or different person", description="Compare two pictures.")
    compare.add_argument("a", type=local_path, metavar="A", help="a picture")
    compare.add_argument("b", type=local_path, metavar="B", help="another picture")
    compare.add_argument("--save", type=Path, metavar="FILE", help="write the two aligned faces side by side")
    FaceMatchSettings.add_arguments(compare)
    compare.set_defaults(run=run_compare)

    enrol = actions.add_parser("enrol", help="add a person to a gallery file", description=NOTICE)
    enrol.add_argument("gallery", type=Path, metavar="GALLERY.json", help="your gallery; made if it is not there")
    enrol.add_argument("pictures", type=local_path, nargs="+", metavar="PICTURE", help="pictures of the person")
    enrol.add_argument("--name", required=True, help="the person's name")
    enrol.set_defaults(run=run_enrol)

    search = actions.add_parser("search", help="who of a gallery is in a picture", description=__doc__)
    search.add_argument("gallery", type=Path, metavar="GALLERY.json", help="a file that `faces enrol` wrote")
    search.add_argument("input", type=local_path, metavar="INPUT", help="a picture or a folder of pictures")
    search.add_argument("--save", type=Path, metavar="FILE", help="write the picture with names (one picture only)")
    GallerySettings.add_arguments(search)
    search.set_defaults(run=run_search)

    forget = actions.add_parser("forget", help="remove a person from a gallery file")
    forget.add_argument("gallery", type=Path, metavar="GALLERY.json")
    forget.add_argument("name", metavar="NAME")
    forget.set_defaults(run=run_forget)

    for parser in (compare, search):
        parser.add_argument("--json", metavar="FILE", help="write the result as JSON; - for standard output")
    for parser in (compare, enrol):
        parser.add_argument("--model", default=DEFAULT_MODEL, help="see `python -m cvdemo models` (%(default)s)")


def run_compare(args: argparse.Namespace) -> int:
    """Print the verdict; 0 for the same person, 1 for different people."""
    settings = FaceMatchSettings.from_arguments(args)
    first, second = (predict.infer(read_picture(path), args.model) for path in (args.a, args.b))
    result = predict.compare(first, second, settings)
    print(result.sentence(), file=sys.stderr)
    if args.save is not None:
        save_picture(args.save, contact_sheet(np.stack([first.crops[result.face_a], second.crops[result.face_b]])))
    write(args.json, to_json(result.to_dict(args.a.name, args.b.name) | {"sentence": result.sentence()}))
    return 0 if result.same else 1


def run_enrol(args: argparse.Namespace) -> int:
    """Add one face of each picture; nothing is written unless every picture shows one."""
    new = not args.gallery.exists()
    gallery = Gallery(args.model) if new else Gallery.load(args.gallery)
    rows = []
    for path in args.pictures:
        found = predict.infer(read_picture(path), gallery.model if not new else args.model)
        row = predict.face_of(found)
        if row is None:
            raise InputError(f"No face was found in {path.name}.", hint="Nobody was enrolled; leave this picture out.")
        if len(predict.considered(found, FaceMatchSettings())) > 1:
            print(f"{path.name} shows several faces; the largest is taken.", file=sys.stderr)
        rows.append(found.embeddings[row])
    gallery.enrol(args.name, np.stack(rows))
    gallery.save(args.gallery)
    called = " ".join(args.name.split())
    print(f"{called}: {gallery.count(called)} pictures in {args.gallery.name}. {NOTICE}", file=sys.stderr)
    return 0


def run_forget(args: argparse.Namespace) -> int:
    """Remove a person; the file stays, without that person."""
    gallery = Gallery.load(args.gallery)
    gallery.remove(args.name)
    gallery.save(args.gallery)
    print(f"{args.name} is forgotten; {len(gallery)} people are left.", file=sys.stderr)
    return 0


def run_search(args: argparse.Namespace) -> int:
    """Name the faces of a picture or a folder; 0 when every input could be read, 1 when some could not."""
    settings = GallerySettings.from_arguments(args)
    gallery = Gallery.load(args.gallery)
    if is_folder(args.input):
        if args.save is not None:
            raise InputError("--save takes one picture, not a folder.", hint="Use --json for a folder.")
        found, failed = each_picture(args.input, lambda path, stem: _search(path, gallery, settings), _sentence)
        write(args.json, to_json({"pictures": [_to_dict(name, *result) for name, result in found]}))
        return 1 if failed else 0
    inference, rows, matches = _search(args.input, gallery, settings)
    print(f"{args.input.name}: {_sentence((inference, rows, matches))}", file=sys.stderr)
    if args.save is not None:
        pixels = read_picture(args.input).pixels
        texts = [f"{m.name} {m.similarity:.2f}" if m.name is not None else "unknown" for m in matches]
        save_picture(args.save, draw_faces(pixels, inference.faces.take(rows), texts=texts))
    write(args.json, to_json(_to_dict(args.input.name, inference, rows, matches)))
    return 0


Searched = tuple[FacesInference, np.ndarray, list[Match]]


def _search(path: Path, gallery: Gallery, settings: GallerySettings) -> Searched:
    """One picture: its faces, which of them are considered, and who each may be."""
    inference = predict.infer(read_picture(path), gallery.model)
    rows = predict.considered(inference, FaceMatchSettings())
    return inference, rows, gallery.search_all(inference.embeddings[rows], settings)


def _sentence(searched: Searched) -> str:
    matches = searched[2]
    if not matches:
        return "No faces."
    return " ".join(match.sentence() for match in matches)


def _to_dict(name: str, inference: FacesInference, rows: np.ndarray, matches: list[Match]) -> dict[str, Any]:
    result = inference.faces.take(rows).to_dict(name) | {"model": inference.model}
    result["faces"] = [face | {"match": match.to_dict()} for face, match in zip(result["faces"], matches)]
    return result
