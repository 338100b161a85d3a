"""Segmentation: a class for every pixel, a mask for every object, and everything a lecture does with them."""
