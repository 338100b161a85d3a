"""The errors that cvdemo shows to people.

Every message has two halves: what happened and why, then what to do about it.  Interfaces (page, command line, HTTP)
print ``str(error)`` and never a stack trace, so a message must make sense to somebody who has not seen the code.
Anything that is not a `CvDemoError` is a bug.
"""

from __future__ import annotations


class CvDemoError(Exception):
    """A problem that was foreseen and explained.

    Args:
        message: what happened and why, one sentence.
        hint: what the user can do about it, one sentence; may be empty.

    ``str(error)`` is ``"message hint"``; the halves are kept as attributes for interfaces that lay them out apart.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        # Exception.args holds the message alone, and keyword arguments are lost when an exception is pickled (process
        # pools do that), hence __reduce__ below.
        super().__init__(message)
        self.message = message.strip()
        self.hint = hint.strip()

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.message, self.hint)


def _rebuild(kind: type[CvDemoError], message: str, hint: str) -> CvDemoError:
    return kind(message, hint=hint)


class InputError(CvDemoError):
    """The user's file or value cannot be used."""


class SettingsError(InputError):
    """A setting is unknown, of the wrong type or out of its range."""


class WeightsError(CvDemoError):
    """A weights file is missing, damaged or unreachable."""


class ResourceError(CvDemoError):
    """The machine ran out of something: memory, disk or places in the queue."""


class Cancelled(CvDemoError):
    """The user stopped the work.  The message may be left out."""

    def __init__(self, message: str = "Stopped.", *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
