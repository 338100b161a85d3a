"""Architectures of the compact optical-flow models."""
