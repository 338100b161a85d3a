"""The action models the program offers. Importing this module registers them, the compact tier first."""

from cvdemo.action import torchvision_video

__all__ = ["torchvision_video"]
