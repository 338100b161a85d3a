"""Imports what registers the models that find faces and the one that tells whose they are."""

from cvdemo.faces import embedder
from cvdemo.faces.detector import SPEC

__all__ = ["SPEC", "embedder"]
