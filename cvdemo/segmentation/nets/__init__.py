"""Architectures of the compact segmentation models."""
