"""Architectures of the compact pose models."""
