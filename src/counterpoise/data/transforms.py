"""What happens to a stored modality on its way to the model: frames are chosen, images cropped, flipped and resized.

All of it runs batched on the device. Every draw is made on the CPU from the generator that the caller passes,
so it is the same on every device; nothing here waits for the device.
"""

from __future__ import annotations

import dataclasses

import torch


@dataclasses.dataclass(frozen=True)
class Draw:
    """The choices made for one batch of one modality; ``None`` where there is nothing to choose.

    ``frames`` (B, T) int64 indexes stored frames; ``boxes`` (B * T, 4) float64 are top, left, height and
    width in pixels; ``flips`` (B * T,) bool.
    """

    frames: torch.Tensor | None = None
    boxes: torch.Tensor | None = None
    flips: torch.Tensor | None = None


@dataclasses.dataclass(frozen=True)
class InputTransform:
    """How one image or video modality is presented.

    ``frames``: that many of the stored frames (T, C, H, W) are shown; the clip is cut into as many equal segments and
    one frame of each is taken, a random one where ``random_frames``, otherwise the middle one. ``size``: height and
    width that the model gets. ``crop_scale`` and ``crop_ratio``: range of area share and aspect ratio of a random
    resized crop, drawn for every frame on its own as in the released loaders; without them the whole image is resized,
    its aspect ratio not kept. ``flip``: probability of a horizontal flip.
    """

    frames: int | None = None
    random_frames: bool = False
    size: tuple[int, int] | None = None
    crop_scale: tuple[float, float] | None = None
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.0

    @property
    def is_fixed_size(self) -> bool:
        """Whether pictures are resized, and each time in the same way."""
        return self.size is not None and not self.random_frames and self.crop_scale is None and self.flip == 0

    def shown_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape that samples of stored ``shape`` are shown in."""
        size = self.size or shape[-2:]
        return (*shape[:-3], shape[-3], *size) if self.frames is None else (self.frames, shape[-3], *size)

    def for_evaluation(self) -> InputTransform:
        """Return the same presentation without anything random."""
        return dataclasses.replace(self, random_frames=False, crop_scale=None, flip=0.0)

    def draw(self, batch: int, shape: tuple[int, ...], counts: torch.Tensor | None, generator: torch.Generator) -> Draw:
        """Make the choices for ``batch`` samples of stored per-sample ``shape`` (..., H, W).

        ``counts`` (batch,) says how many of the stored frames are real; ``None`` means all.
        """
        frames = self._draw_frames(batch, shape, counts, generator)
        images = batch * (1 if len(shape) == 3 else shape[0] if self.frames is None else self.frames)
        boxes = flips = None
        if self.crop_scale is not None:
            boxes = random_boxes(images, shape[-2:], self.crop_scale, self.crop_ratio, generator)
        if self.flip > 0:
            flips = torch.rand(images, generator=generator) < self.flip
        return Draw(frames, boxes, flips)

    def _draw_frames(
        self, batch: int, shape: tuple[int, ...], counts: torch.Tensor | None, generator: torch.Generator
    ) -> torch.Tensor | None:
        if self.frames is None:
            return None
        if len(shape) != 4:
            raise ValueError(f"frames can be chosen from (T, C, H, W) only, not from {shape}")
        if counts is None:
            counts = torch.full((batch,), shape[0])
        if self.random_frames:
            place = torch.rand(batch, self.frames, generator=generator, dtype=torch.float64)
        else:
            place = torch.full((batch, self.frames), 0.5, dtype=torch.float64)
        segment = torch.arange(self.frames, dtype=torch.float64)
        chosen = ((segment + place) * counts[:, None] / self.frames).floor().long()
        return torch.minimum(chosen, counts[:, None] - 1)

    def apply(self, values: torch.Tensor, draw: Draw) -> torch.Tensor:
        """Return ``values`` (B, C, H, W) or (B, T, C, H, W) cropped, flipped and resized.

        Frames are expected to be chosen already (``draw.frames`` is for whoever reads the stored array). Integer levels
        stay whole levels of 0 to 255, as they do in the 8-bit pictures of the released loaders.
        """
        if self.size is None and draw.boxes is None and draw.flips is None:
            return values
        images = values.reshape(-1, *values.shape[-3:])
        size = self.size or tuple(images.shape[-2:])
        images = crop_and_resize(images, size, draw.boxes, draw.flips)
        return images.reshape(*values.shape[:-2], *size)


def crop_and_resize(
    images: torch.Tensor, size: tuple[int, int], boxes: torch.Tensor | None = None, flips: torch.Tensor | None = None
) -> torch.Tensor:
    """Return ``images`` (N, C, H, W), each cropped to its own box, flipped and resized: (N, C, *size).

    The numbers are those of ``torchvision.transforms.v2.functional.resized_crop`` with antialiasing. It takes
    one box per call: on the CPU that is the fastest way (:func:`crop_one`), on an accelerator N calls are N
    launches, and the whole batch goes through two matrix products instead (:func:`resample`). For 8-bit
    images the two agree to within one level.
    """
    if images.device.type != "cpu":
        resized = resample(images.float(), size, boxes, flips)
        return resized.round().clamp(0, 255) if images.dtype == torch.uint8 else resized
    out = torch.empty((len(images), images.shape[1], *size), dtype=images.dtype)
    choices = boxes_and_flips(len(images), Draw(boxes=boxes, flips=flips))
    for place, (box, flip) in enumerate(zip(*choices, strict=True)):
        out[place] = crop_one(images, place, size, box, flip)
    return out


def boxes_and_flips(count: int, draw: Draw) -> tuple[list[list[int] | None], list[bool]]:
    """Return the box and the flip of each of ``count`` images as :func:`crop_one` takes them."""
    boxes = [None] * count if draw.boxes is None else draw.boxes.long().tolist()
    return boxes, [False] * count if draw.flips is None else draw.flips.tolist()


def crop_one(
    images: torch.Tensor, place: int, size: tuple[int, int], box: list[int] | None, flip: bool
) -> torch.Tensor:
    """Return picture ``place`` of ``images`` (N, C, H, W), cropped to ``box``, resized and flipped on the CPU:
    ``(C, *size)``.

    This is the call that torchvision's ``resized_crop`` ends in, without what it looks up on the way. It may
    be a view of ``images``; its colours lie first or last in memory as theirs do.
    """
    # A batch of one, not one picture with a new axis: from that axis's stride torch tells that colours lie
    # last. Otherwise it sorts what it has resized into planes, which takes nearly as long as resizing.
    top, left, height, width = (0, 0, *images.shape[2:]) if box is None else box
    image = images[place : place + 1, :, top : top + height, left : left + width]
    if (height, width) != size:
        image = torch.nn.functional.interpolate(image, size, mode="bilinear", antialias=True)
    return image[0].flip(-1) if flip else image[0]


def random_boxes(
    count: int,
    image: tuple[int, int],
    scale: tuple[float, float],
    ratio: tuple[float, float],
    generator: torch.Generator,
    tries: int = 10,
) -> torch.Tensor:
    """Draw ``count`` boxes (count, 4), top, left, height and width, by the rule of torchvision's RandomResizedCrop.

    Area is uniform in ``scale`` of the image's, aspect ratio log-uniform in ``ratio``; a box that does not
    fit is drawn again up to ``tries`` times; then the largest central box within ``ratio`` is taken.
    """
    height, width = image
    area = height * width * _uniform((count, tries), scale, generator)
    log_ratio = torch.log(torch.tensor(ratio, dtype=torch.float64)).tolist()
    aspect = torch.exp(_uniform((count, tries), (log_ratio[0], log_ratio[1]), generator))
    widths, heights = torch.round(torch.sqrt(area * aspect)), torch.round(torch.sqrt(area / aspect))
    fits = (widths > 0) & (widths <= width) & (heights > 0) & (heights <= height)
    first = fits.to(torch.uint8).argmax(dim=1, keepdim=True)
    box_height, box_width = heights.gather(1, first).squeeze(1), widths.gather(1, first).squeeze(1)
    top = torch.floor(_uniform((count,), (0.0, 1.0), generator) * (height - box_height + 1))
    left = torch.floor(_uniform((count,), (0.0, 1.0), generator) * (width - box_width + 1))
    boxes = torch.stack([top, left, box_height, box_width], dim=1)
    return torch.where(fits.any(dim=1, keepdim=True), boxes, _central_box(image, ratio))


def _uniform(shape: tuple[int, ...], bounds: tuple[float, float], generator: torch.Generator) -> torch.Tensor:
    draw = torch.rand(shape, generator=generator, dtype=torch.float64)
    return bounds[0] + (bounds[1] - bounds[0]) * draw


def _central_box(image: tuple[int, int], ratio: tuple[float, float]) -> torch.Tensor:
    height, width = image
    own = width / height
    if own < ratio[0]:
        box = (round(width / ratio[0]), width)
    elif own > ratio[1]:
        box = (height, round(height * ratio[1]))
    else:
        box = (height, width)
    top, left = (height - box[0]) // 2, (width - box[1]) // 2
    return torch.tensor([top, left, *box], dtype=torch.float64)


def resample(
    images: torch.Tensor, size: tuple[int, int], boxes: torch.Tensor | None = None, flips: torch.Tensor | None = None
) -> torch.Tensor:
    """Return float ``images`` (N, C, H, W) cropped to ``boxes``, flipped and resized to ``size``: (N, C, *size).

    Bilinear with antialiasing, the numbers of ``torchvision.transforms.v2.functional.resized_crop``. That
    function takes one box for a whole batch; here each image has its own. The filter is separable, so a crop
    with resizing is one matrix from each side and the whole batch is two matrix products.
    """
    count, _, height, width = images.shape
    if boxes is None:
        boxes = torch.tensor([[0.0, 0.0, height, width]], dtype=torch.float64).expand(count, 4)
    rows = _filter(boxes[:, 0], boxes[:, 2], height, size[0])
    columns = _filter(boxes[:, 1], boxes[:, 3], width, size[1])
    if flips is not None:
        columns = torch.where(flips[:, None, None], columns.flip(1), columns)
    rows = rows.to(images.device, images.dtype, non_blocking=True)
    columns = columns.to(images.device, images.dtype, non_blocking=True)
    return rows[:, None] @ images @ columns[:, None].transpose(-1, -2)


def _filter(start: torch.Tensor, length: torch.Tensor, size: int, out: int) -> torch.Tensor:
    """Return the (N, out, size) weights that resize ``length`` pixels from ``start`` to ``out`` pixels.

    A triangle around each output pixel's centre, as wide as the output pixel is when shrinking, cut at the box.
    """
    scale = (length / out)[:, None, None]
    reach = scale.clamp(min=1.0)
    centre = start[:, None, None] + (torch.arange(out, dtype=torch.float64)[None, :, None] + 0.5) * scale
    pixel = torch.arange(size, dtype=torch.float64)[None, None, :]
    weights = (1.0 - (pixel + 0.5 - centre).abs() / reach).clamp(min=0.0)
    inside = (pixel >= start[:, None, None]) & (pixel < (start + length)[:, None, None])
    weights = weights * inside
    return weights / weights.sum(dim=2, keepdim=True)
