"""What SimCLR and Retrieval share: the visitor's collection, and the examples it starts with."""

from __future__ import annotations

from typing import Any

from cvdemo.core.media import read_picture
from cvdemo.faces.collection import Collection, collection_of
from cvdemo.ui.examples import pictures
from cvdemo.ui.sessions import files


def started(user: str, **watch: Any) -> Collection:
    """The visitor's collection; on first use it gets the example pictures and views of them.

    watch: ``progress`` and ``cancel``.   WeightsError when the backbone is missing.
    """
    found = collection_of(user)
    with found.lock:
        if not found.started:
            examples = [(example.name, read_picture(example.path)) for example in pictures(files.examples)]
            found.start(examples, user=user, **watch)
    return found
