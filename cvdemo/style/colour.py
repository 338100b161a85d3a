"""Keeping the content's colours (Gatys et al. 2016, Preserving Color in Neural Artistic Style Transfer, 1606.05897).

Two ways. *Luminance*: the style works on brightness alone, and the content's colours are put back. *Covariance*: the
style picture is recoloured first, by the linear map that gives its pixels the content's mean and covariance.
"""

from __future__ import annotations

import numpy as np

WAYS = ("off", "luminance", "covariance")
# ITU-R BT.601 luma, as in the paper's YIQ
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_SMALLEST_VARIANCE = 1e-5


def luminance(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> luma (H, W) float32 in [0, 255]."""
    return pixels.astype(np.float32) @ _LUMA


def grey(pixels: np.ndarray) -> np.ndarray:
    """The same picture without colour, (H, W, 3) uint8."""
    return np.repeat(np.rint(luminance(pixels)).astype(np.uint8)[..., None], 3, axis=2)


def with_luminance(colours: np.ndarray, brightness: np.ndarray) -> np.ndarray:
    """The colours of one picture with the brightness of another of its size, both (H, W, 3) uint8.

    Adding the same to red, green and blue changes luma by that much and leaves YIQ's two colour channels alone.
    """
    change = luminance(brightness) - luminance(colours)
    return np.rint(colours + change[..., None]).clip(0, 255).astype(np.uint8)


def match_luminance(style: np.ndarray, content: np.ndarray) -> np.ndarray:
    """The style in grey with the mean and spread of the content's brightness, (h, w, 3) uint8."""
    of_style, of_content = luminance(style), luminance(content)
    gain = of_content.std() / max(float(of_style.std()), 1.0)
    matched = (of_style - of_style.mean()) * gain + of_content.mean()
    return np.repeat(np.rint(matched).clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


def covariance_map(style: np.ndarray, content: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A (3, 3) and b (3,) such that A x + b gives style colours x the content's mean and covariance.

    A = S_c^(1/2) S_s^(-1/2), the paper's choice of "image analogies" colour transfer. Colours are in [0, 255]; a style
    of one colour is mapped to the content's mean without dividing by its missing spread.
    """
    x = style.reshape(-1, 3).astype(np.float64) / 255
    y = content.reshape(-1, 3).astype(np.float64) / 255
    a = _root(np.cov(y.T, bias=True)) @ _root(np.cov(x.T, bias=True), -0.5)
    return a, 255 * (y.mean(0) - a @ x.mean(0))


def match_covariance(style: np.ndarray, content: np.ndarray) -> np.ndarray:
    """The style recoloured with ``covariance_map``, (h, w, 3) uint8, clipped to [0, 255]."""
    a, b = covariance_map(style, content)
    return np.rint(style.astype(np.float64) @ a.T + b).clip(0, 255).astype(np.uint8)


def prepared(content: np.ndarray, styles: list[np.ndarray], way: str) -> tuple[np.ndarray, list[np.ndarray]]:
    """Content and styles as a way of keeping colours wants them before the transfer; the same ones for "off"."""
    if way == "luminance":
        return grey(content), [match_luminance(style, content) for style in styles]
    if way == "covariance":
        return content, [match_covariance(style, content) for style in styles]
    return content, styles


def finished(result: np.ndarray, content: np.ndarray, way: str) -> np.ndarray:
    """What a way of keeping colours does after the transfer; both (H, W, 3) uint8 of one size."""
    return with_luminance(content, result) if way == "luminance" else result


def _root(matrix: np.ndarray, power: float = 0.5) -> np.ndarray:
    """A symmetric positive matrix to a power, by its eigenvectors; too small eigenvalues are raised."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.maximum(values, _SMALLEST_VARIANCE) ** power) @ vectors.T
