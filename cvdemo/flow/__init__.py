"""Optical flow: where every pixel of a picture went in the next one."""
