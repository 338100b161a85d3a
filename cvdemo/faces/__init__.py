"""Faces: finding them, bringing them into one pose, telling whose they are; metric learning."""
