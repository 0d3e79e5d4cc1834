"""Draw icon.png, the launcher's picture: a big dot distilled into a small one, on the page's green.

python tools/make_icon.py     needs Pillow; writes icon.png in the checkout's root
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw

SIZE, FINER = 512, 4  # drawn four times as large, then reduced: smooth edges
GREEN, LIGHT, WHITE = (15, 118, 110, 255), (94, 234, 212, 255), (255, 255, 255, 255)


def draw() -> Image.Image:
    """The icon: bold shapes only, so that it reads at 32 pixels."""
    side = SIZE * FINER
    image = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    pen = ImageDraw.Draw(image)

    def at(*numbers: float) -> list[float]:
        return [number * side for number in numbers]

    pen.rounded_rectangle(at(0, 0, 1, 1), radius=side * 0.22, fill=GREEN)
    pen.ellipse(at(0.13, 0.13, 0.73, 0.73), outline=WHITE, width=round(side * 0.115))  # the Q's bowl: the big model
    pen.line(at(0.60, 0.60, 0.74, 0.74), fill=WHITE, width=round(side * 0.115))  # its tail leads to ...
    pen.ellipse(at(0.66, 0.66, 0.88, 0.88), fill=LIGHT, outline=GREEN, width=round(side * 0.028))  # ... the small one
    return image.resize((SIZE, SIZE), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    draw().save(Path(__file__).resolve().parents[1] / "icon.png", optimize=True)
