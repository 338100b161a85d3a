"""What the commands that look at pictures have in common: which inputs they take, and writing what they found."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from cvdemo.core.errors import CvDemoError, InputError

PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}

T = TypeVar("T")


def local_path(text: str) -> Path:
    """An argument type: a path, with a word of its own for web addresses."""
    if "://" in text:  # Path would fold the two slashes into one and hide the reason
        raise argparse.ArgumentTypeError(f"{text} is a web address, not a file; download it and give the file")
    return Path(text)


def is_folder(path: Path) -> bool:
    """Unlike ``Path.is_dir`` this says False, and does not raise, for names the file system cannot hold."""
    return os.path.isdir(path)


def pictures_in(folder: Path) -> list[Path]:
    """The picture files directly in a folder, by name; InputError when there are none."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES)
    if not paths:
        raise InputError(f"{folder} holds no pictures.", hint=f"Known endings: {' '.join(sorted(PICTURE_SUFFIXES))}.")
    return paths


def each_picture(
    folder: Path, look: Callable[[Path, str], T], sentence: Callable[[T], str]
) -> tuple[list[tuple[str, T]], int]:
    """Look at every picture of a folder, saying what was found on standard error.

    ``look(path, stem)``: the stem names results in a folder of their own, where a.jpg and a.png must not share a.png.
    Returns (file name, result) of those that could be read, and how many could not: one bad file costs no other.
    """
    paths = pictures_in(folder)
    stems = Counter(path.stem for path in paths)
    found: list[tuple[str, T]] = []
    failed = 0
    for number, path in enumerate(paths, 1):
        try:
            result = look(path, path.stem if stems[path.stem] == 1 else path.name)
        except InputError as error:
            failed += 1
            print(f"[{number}/{len(paths)}] {error}", file=sys.stderr)
            continue
        found.append((path.name, result))
        print(f"[{number}/{len(paths)}] {path.name}: {sentence(result)}", file=sys.stderr)
    return found, failed


def make_folder(folder: Path, source: Path) -> None:
    """A folder for results; InputError when it cannot be made or is the folder the pictures come from."""
    if folder.resolve() == source.resolve():
        raise InputError(f"The results would write over the pictures in {folder}.", hint="Give another folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder} cannot be used as a folder: {error.strerror}.", hint="Choose another place."
        ) from error


def to_json(value: Any) -> str:
    """JSON text ending in a line break."""
    return json.dumps(value, indent=1) + "\n"


def write(target: str | None, text: str) -> None:
    """Write to a file, to standard output for "-", nowhere for None; CvDemoError when the file cannot be written."""
    if target == "-":
        sys.stdout.write(text)
    elif target:
        try:
            Path(target).write_text(text, encoding="utf-8")
        except OSError as error:
            raise CvDemoError(
                f"{target} could not be written: {error.strerror}.", hint="Choose another place."
            ) from error
