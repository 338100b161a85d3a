"""The classifiers the program offers. Importing this module registers them; adding one is one entry."""

from cvdemo.classification import compact, emotion, torchvision_classifiers

__all__ = ["compact", "emotion", "torchvision_classifiers"]  # each registers its own, the compact tier first
