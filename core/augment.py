"""Random views of a prepared slice that keep its class and break what betrays its source.

Sources differ in window, sharpness, noise, resolution, compression and framing; a network that may use
these learns the source instead of the disease. Each view draws all of them anew, from a generator made of
(seed, epoch, index), so that a resumed or reordered training sees the very same views.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from core.errors import ConfigError
from core.preprocess import lung_hull


@dataclass(frozen=True)
class AugmentConfig:
    """Strength of each change; 0 switches it off.

    flip         chance of a mirrored view
    rotate       largest turn, degrees
    shift        largest shift, share of the side
    stretch      largest change of height and of width, each on its own, share
    resolution   largest loss of resolution, as a factor (3 = down to a third and back)
    blur         largest standard deviation of a Gaussian blur, pixels of the view
    sharpen      largest strength of unsharp masking
    noise        largest standard deviation of noise, grey levels
    level        largest shift of black and of white, grey levels
    gamma        largest exponent of a gamma change (and its inverse)
    saturate     chance that everything above a random level near soft tissue turns flat
    compress     chance of JPEG compression, quality 20 to 90
    erase        chance of a grey rectangle over up to a fifth of the side squared
    flatten      chance that all beyond the lungs' convex hull is one grey
    """

    flip: float = 0.5
    rotate: float = 12.0
    shift: float = 0.06
    stretch: float = 0.14
    resolution: float = 3.0
    blur: float = 1.5
    sharpen: float = 1.5
    noise: float = 14.0
    level: float = 35.0
    gamma: float = 1.4
    saturate: float = 0.4
    compress: float = 0.4
    erase: float = 0.3
    flatten: float = 0.0

    def __post_init__(self) -> None:
        for name in ("flip", "saturate", "compress", "erase", "flatten"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"augment.{name}", str(getattr(self, name)), "a chance from 0 to 1")
        if not 0 <= self.level <= 100:
            raise ConfigError("augment.level", str(self.level), "0 to 100 grey levels")
        for name in ("resolution", "gamma"):
            if getattr(self, name) < 1:
                raise ConfigError(f"augment.{name}", str(getattr(self, name)), "a factor of at least 1")


def augment(
    image: np.ndarray,
    inner: tuple[float, float, float, float],
    size: int,
    config: AugmentConfig,
    rng: np.random.Generator,
    lungs: np.ndarray | None = None,
) -> np.ndarray:
    """One random view uint8 (size, size) of a prepared picture uint8 (h, w).

    `inner` is (top, left, height, width), in pixels of `image`, of what the unchanged view would show; `lungs`
    the mask of the lungs, where they were found.
    """
    if config.flatten and rng.random() < config.flatten and lungs is not None:
        image = _flatten(image, lungs, rng)
    view = _geometry(image, inner, size, config, rng)
    view = _sharpness(view, config, rng)
    view = _levels(view, config, rng)
    view = _noise(view, config, rng)
    view = np.clip(np.rint(view), 0, 255).astype(np.uint8)
    if rng.random() < config.compress:
        quality = int(rng.integers(20, 91))
        encoded = cv2.imencode(".jpg", view, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        view = cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE)
    if rng.random() < config.erase:
        view = _erase(view, rng)
    return view


def _flatten(image: np.ndarray, lungs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Nothing but one grey beyond a hull around both lungs: chest wall, table and frame betray the source."""
    return np.where(lung_hull(lungs), image, np.uint8(rng.integers(256)))


def _geometry(image, inner, size, config, rng) -> np.ndarray:
    """Mirror, turn, stretch and shift in one resampling, preceded by area averaging where it shrinks."""
    top, left, height, width = inner
    scale_y = height / size * np.exp(rng.uniform(-1, 1) * np.log1p(config.stretch))
    scale_x = width / size * np.exp(rng.uniform(-1, 1) * np.log1p(config.stretch))
    if rng.random() < config.flip:
        scale_x = -scale_x
    angle = np.deg2rad(rng.uniform(-config.rotate, config.rotate))
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.array([[scale_x * cos, -scale_x * sin], [scale_y * sin, scale_y * cos]])
    # Pixel i covers i - 0.5 to i + 0.5, so the middle of `width` pixels from `left` on lies half a pixel less.
    center = np.array(
        [
            left + width * (0.5 + rng.uniform(-1, 1) * config.shift) - 0.5,
            top + height * (0.5 + rng.uniform(-1, 1) * config.shift) - 0.5,
        ]
    )
    offset = center - matrix @ np.full(2, (size - 1) / 2)
    warp = np.hstack([matrix, offset[:, None]]).astype(np.float32)
    return cv2.warpAffine(
        image,
        warp,
        (size, size),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )


def _sharpness(view: np.ndarray, config: AugmentConfig, rng: np.random.Generator) -> np.ndarray:
    """One of: lower resolution, blur, sharpening, or nothing."""
    kind = rng.integers(4)
    if kind == 0 and config.resolution > 1:
        factor = rng.uniform(1, config.resolution)
        small = max(8, round(view.shape[0] / factor))
        low = cv2.resize(view, (small, small), interpolation=cv2.INTER_AREA)
        back = cv2.INTER_LINEAR if rng.random() < 0.5 else cv2.INTER_CUBIC
        return cv2.resize(low, view.shape[::-1], interpolation=back)
    if kind == 1 and config.blur > 0:
        return cv2.GaussianBlur(view, (0, 0), rng.uniform(0.3, max(0.31, config.blur)))
    if kind == 2 and config.sharpen > 0:
        soft = cv2.GaussianBlur(view, (0, 0), rng.uniform(0.7, 2.0))
        amount = rng.uniform(0, config.sharpen)
        return cv2.addWeighted(view, 1 + amount, soft, -amount, 0)
    return view


def _levels(view: np.ndarray, config: AugmentConfig, rng: np.random.Generator) -> np.ndarray:
    """Another window: black, white and gamma moved, soft tissue cut flat; float32 (h, w)."""
    grey = np.arange(256, dtype=np.float32)
    if rng.random() < config.saturate:
        grey = np.minimum(grey, rng.uniform(185, 250))
    black, white = rng.uniform(-config.level, config.level, 2)
    grey = np.clip((grey - black) / (255 + white - black), 0, 1)
    grey = 255 * grey ** np.exp(rng.uniform(-1, 1) * np.log(config.gamma))
    return grey[view]


def _noise(view: np.ndarray, config: AugmentConfig, rng: np.random.Generator) -> np.ndarray:
    """Noise of half of the views, sometimes with the grain of a soft kernel; float32 (h, w)."""
    if config.noise <= 0 or rng.random() < 0.5:
        return view
    noise = rng.standard_normal(view.shape, dtype=np.float32)
    if rng.random() < 0.5:
        noise = cv2.GaussianBlur(noise, (0, 0), 0.8) * 2.5
    return view + noise * np.float32(rng.uniform(0, config.noise))


def _erase(view: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A flat rectangle, as of a label or an arrow drawn in, over a random place."""
    side = view.shape[0]
    height, width = (rng.uniform(0.05, 0.25, 2) * side).astype(int)
    top, left = int(rng.integers(side - height)), int(rng.integers(side - width))
    view = view.copy()
    view[top : top + height, left : left + width] = rng.integers(256)
    return view
