"""Imports what registers the models that find faces."""

from cvdemo.faces.detector import SPEC

__all__ = ["SPEC"]
