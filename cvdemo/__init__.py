"""cvdemo: an interactive computer-vision laboratory in the browser."""

__version__ = "0.1.0"
