"""The action models the program offers. Importing this module registers them, the compact tier first."""

from cvdemo.action import compact, torchvision_video  # each registers its own, the compact tier first

__all__ = ["compact", "torchvision_video"]
