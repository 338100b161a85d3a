"""Optical flow: where every pixel of one frame is in the next."""
