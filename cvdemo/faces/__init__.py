"""Faces: finding them, five landmarks on each, bringing them into one pose."""
