"""Fetching one large file over HTTP: progress, resume or clean restart, size and hash check, atomic rename.

The bytes go into ``<name>.part`` beside the target and get the target's name only when they are complete and right,
so that no other program ever sees a partial file.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import os
import shutil
import socket
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from cvdemo import __version__
from cvdemo.core.errors import Cancelled, ResourceError, WeightsError

ProgressFn = Callable[[int, int], None]

_BLOCK = 1 << 18
_ATTEMPTS = 4
_RETRY_AFTER_S = 0.5
_locks: dict[Path, threading.Lock] = {}
_locks_guard = threading.Lock()


class _Interrupted(Exception):
    """The transfer broke off; what has arrived is kept and another attempt may continue it."""


class _Restart(Exception):
    """What has arrived does not fit what the server sends: begin again from nothing."""


def download(
    url: str,
    target: Path,
    *,
    size: int = 0,
    sha256: str = "",
    progress: ProgressFn | None = None,
    cancel: threading.Event | None = None,
    timeout: float = 30.0,
) -> None:
    """Fetch ``url`` into the file ``target`` unless it is there already and right; concurrent callers fetch it once.

    size: bytes it must have, 0 when unknown.   sha256: hex digits its hash must start with, "" when unknown.
    progress(done, total): bytes, called about every 256 kB; total is 0 when unknown.
    timeout: seconds without a byte after which the connection counts as lost.
    Raises WeightsError (unreachable, refused, wrong content), ResourceError (disk full or not writable), Cancelled.
    """
    if not url.lower().startswith(("https://", "http://")):
        raise WeightsError(f"{url!r} is not a web address.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _only_one(target, cancel):
            if not _is_right(target, size, sha256):
                target.unlink(missing_ok=True)
                _fetch_with_retries(url, target, size, sha256, progress, cancel, timeout)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            _part(target).unlink(missing_ok=True)
            raise ResourceError(f"The disk is full: {target.name} does not fit into {target.parent}.") from error
        raise ResourceError(f"{target.name} cannot be written into {target.parent} ({error.strerror}).") from error


def _is_right(target: Path, size: int, sha256: str) -> bool:
    return target.is_file() and size in (0, target.stat().st_size) and hash_fits(target, sha256)


def _part(target: Path) -> Path:
    return target.with_name(target.name + ".part")


def _fetch_with_retries(
    url: str,
    target: Path,
    size: int,
    sha256: str,
    progress: ProgressFn | None,
    cancel: threading.Event | None,
    timeout: float,
) -> None:
    part = _part(target)
    if not sha256:  # without a hash nobody could tell whether old and new bytes belong to the same file
        part.unlink(missing_ok=True)
    for attempt in range(1, _ATTEMPTS + 1):
        begun_with = part.stat().st_size if part.exists() else 0
        try:
            _transfer(url, part, size, progress, cancel, timeout)
            if hash_fits(part, sha256):
                os.replace(part, target)
                return
            part.unlink()
            if not begun_with:
                raise WeightsError(
                    f"The content of {target.name} is not the published one (its hash differs), so it was deleted."
                )
        except _Restart:
            part.unlink(missing_ok=True)
        except _Interrupted as error:
            if attempt == _ATTEMPTS:
                raise WeightsError(
                    f"The download of {target.name} broke off: {error}.", hint="Trying again continues it."
                ) from error
            if not sha256:
                part.unlink(missing_ok=True)
            _pause(_RETRY_AFTER_S * attempt, cancel)
    raise WeightsError(f"The server keeps sending something else than {target.name}.")


def _transfer(
    url: str, part: Path, size: int, progress: ProgressFn | None, cancel: threading.Event | None, timeout: float
) -> None:
    """One connection: append to ``part`` what it lacks. Returns when complete, else raises."""
    have = part.stat().st_size if part.exists() else 0
    if size and have > size:
        raise _Restart
    if size and have == size:
        return
    request = urllib.request.Request(url, headers={"User-Agent": f"cvdemo/{__version__}"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    with _explained(url), urllib.request.urlopen(request, timeout=timeout) as response:
        if response.status == 206:
            if not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                raise _Restart
        else:
            have = 0  # the server sends the whole file: write over what there was
        length = int(response.headers.get("Content-Length") or 0)
        total = have + length if length else size
        if size and total != size:
            raise WeightsError(f"The server offers {total} bytes where the published file has {size}.")
        _check_space(part, total - have)
        with part.open("ab" if have else "wb") as stream:
            have = _copy(response, stream, have, total, progress, cancel)
    if have < total:
        raise _Interrupted(f"only {have} of {total} bytes arrived")


def _copy(
    response: http.client.HTTPResponse,
    stream: BinaryIO,
    have: int,
    total: int,
    progress: ProgressFn | None,
    cancel: threading.Event | None,
) -> int:
    while True:
        if cancel is not None and cancel.is_set():
            raise Cancelled("The download was stopped.", hint="Trying again continues it.")
        # read1 hands over what has arrived; read would wait for a full block and make a slow line look frozen.
        block = response.read1(_BLOCK)
        if not block:
            return have
        stream.write(block)
        have += len(block)
        if progress is not None:
            progress(have, total)


@contextmanager
def _explained(url: str) -> Iterator[None]:
    """Turn network errors into `WeightsError` where trying again is no use, else into `_Interrupted`."""
    host = url.split("/")[2]
    try:
        yield
    except urllib.error.HTTPError as error:
        if error.code == 416:  # the part is as long as or longer than the file
            raise _Restart from error
        if error.code in (408, 425, 429) or error.code >= 500:
            raise _Interrupted(f"{host} answered {error.code} {error.reason}") from error
        why = {401: "refuses access", 403: "refuses access", 404: "no longer has it", 410: "no longer has it"}
        raise WeightsError(f"{host} {why.get(error.code, 'answered')} ({error.code}) for {url}.") from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, socket.gaierror):
            raise WeightsError(f"{host} cannot be found: there seems to be no network.") from error
        if isinstance(error.reason, TimeoutError):
            raise WeightsError(f"{host} does not answer: there seems to be no way to it from here.") from error
        raise _Interrupted(f"{host} cannot be reached ({error.reason})") from error
    except TimeoutError as error:
        raise _Interrupted(f"{host} sent nothing for too long") from error
    except (ConnectionError, ssl.SSLError, http.client.HTTPException) as error:
        raise _Interrupted(f"the connection to {host} was lost") from error


def _check_space(part: Path, needed: int) -> None:
    if shutil.disk_usage(part.parent).free < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def hash_fits(path: Path, sha256: str) -> bool:
    """Whether the file's hash begins with these hex digits; "" fits every file."""
    if not sha256:
        return True
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest().startswith(sha256.lower())


def _pause(seconds: float, cancel: threading.Event | None) -> None:
    if (cancel or threading.Event()).wait(seconds):
        raise Cancelled("The download was stopped.", hint="Trying again continues it.")


@contextmanager
def _only_one(target: Path, cancel: threading.Event | None) -> Iterator[None]:
    """One download of a file at a time: among threads by a lock, among processes by a lock on a side file."""
    with _locks_guard:
        lock = _locks.setdefault(target, threading.Lock())
    while not lock.acquire(timeout=0.1):
        if cancel is not None and cancel.is_set():
            raise Cancelled("The download was stopped.")
    try:
        with _process_lock(target.with_name(target.name + ".lock"), cancel):
            yield
    finally:
        lock.release()


@contextmanager
def _process_lock(path: Path, cancel: threading.Event | None) -> Iterator[None]:
    try:
        import fcntl
    except ImportError:  # Windows: two processes might fetch the same file twice, which wastes time but nothing else
        yield
        return
    while True:
        stream = path.open("w")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The former owner deletes the file: a lock on a deleted file would protect nothing.
            if path.exists() and os.path.samestat(os.fstat(stream.fileno()), path.stat()):
                break
        except (BlockingIOError, FileNotFoundError):
            pass
        except BaseException:
            stream.close()
            raise
        stream.close()
        _pause(0.2, cancel)
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()
        stream.close()
