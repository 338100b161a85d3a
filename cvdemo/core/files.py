"""Reading the user's files and writing ours, with every foreseeable failure turned into a sentence.

Nothing is ever written to its final name directly: a file is either complete or absent.
"""

from __future__ import annotations

import contextlib
import errno
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from cvdemo.core.errors import CvDemoError, InputError, ResourceError

MAX_FILE_BYTES = 1 << 30
"""Pictures are read into memory whole; a larger one is a mistake or an attack."""

_FULL_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def existing_file(source: str | os.PathLike[str]) -> Path:
    """The absolute path of a regular file with something in it.

    Errors: `InputError` for a web address, a missing file, a folder, a device, an empty file or a file that may not be
    read.
    """
    text = os.fspath(source)
    if text.lower().startswith(("http://", "https://", "ftp://", "data:")):
        raise InputError(f"{_shorten(text)} is a web address, not a file.", hint="Download it and give the file.")
    path = Path(text)
    try:
        # Absolute, because a relative name such as "concat:a" would be taken for a protocol by the video library.
        path = path.expanduser().absolute()
        if path.is_dir():
            raise InputError(f"{path.name or path} is a folder, not a file.", hint="Choose one of the files in it.")
        if not path.exists():
            raise InputError(f"There is no file {_shorten(text)}.", hint="Check the spelling and the folder.")
        if not path.is_file():
            raise InputError(f"{path.name} is not a regular file.", hint="Copy its content to a file first.")
        if path.stat().st_size == 0:
            raise InputError(f"{path.name} is empty (0 bytes).", hint="Copy or download it again.")
        with path.open("rb"):
            pass
    except (OSError, ValueError, RuntimeError) as error:
        raise explain(error, path, "read") from error
    return path


def read_bytes(path: Path, limit: int = MAX_FILE_BYTES) -> bytes:
    """The content of a file of at most `limit` bytes."""
    try:
        if path.stat().st_size > limit:
            raise InputError(
                f"{path.name} has {path.stat().st_size / 2**20:.0f} MB; at most {limit / 2**20:.0f} MB can be read.",
                hint="Save it smaller.",
            )
        return path.read_bytes()
    except (OSError, MemoryError) as error:
        raise explain(error, path, "read") from error


@contextlib.contextmanager
def written_whole(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path beside `target`; renames it to `target` at the end, removes it when anything goes wrong.

    The temporary file has the suffix of `target`.  An existing `target` is replaced in one step, or left as it was.

    Errors: `ResourceError` when the disk is full, `InputError` when the folder is missing or may not be written to.
    Exceptions that are not about files pass through unchanged.
    """
    path = Path(os.fspath(target)).expanduser().absolute()
    if path.is_dir():
        raise InputError(f"{path.name or path} is a folder.", hint="Give a file name.")
    if not path.parent.is_dir():
        raise InputError(f"The folder {path.parent} does not exist.", hint="Create it or choose another one.")
    part = path.with_name(f".{path.stem[:80]}-{uuid.uuid4().hex[:12]}{path.suffix}")
    try:
        yield part
        os.replace(part, path)
    except CvDemoError:
        raise
    except OSError as error:
        raise explain(error, path, "written") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def explain(error: BaseException, path: Path, verb: str) -> CvDemoError:
    """The `CvDemoError` that says what an operating-system error means; `verb` is "read" or "written"."""
    if isinstance(error, CvDemoError):
        return error
    name = _shorten(path.name or str(path))
    if isinstance(error, MemoryError):
        return ResourceError(f"There was not enough memory for {name}.", hint="Use a smaller one or close programs.")
    code = getattr(error, "errno", None)
    if code in _FULL_DISK:
        return ResourceError(
            f"{name} could not be {verb}: the disk is full.", hint="Free some space or choose another folder."
        )
    if code in (errno.EMFILE, errno.ENFILE):
        return ResourceError(f"{name} could not be {verb}: too many files are open.", hint="Try again in a moment.")
    if isinstance(error, PermissionError) or code == errno.EROFS:
        return InputError(f"{name} may not be {verb}.", hint="Change its permissions or choose another place.")
    if code == errno.ENAMETOOLONG:
        return InputError(f"The name {name} is too long.", hint="Rename the file.")
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return InputError(f"{name} could not be {verb} ({reason}).", hint="Check the path and try another file.")


def _shorten(text: str, longest: int = 120) -> str:
    printable = "".join(c if c.isprintable() else "?" for c in text)
    return printable if len(printable) <= longest else f"{printable[:longest]}…"
