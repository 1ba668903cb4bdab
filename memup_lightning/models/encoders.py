"""Encoders of the fields of a step: vectors standardised, tokens as one-hot or embedding, images by a CNN."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from memup_lightning.chunk import Fields
from memup_lightning.exceptions import check_at_least
from memup_lightning.models.scaling import ImageStandardizer, InputStandardizer, Standardizer, compress_tails
from memup_lightning.models.wide_float import wide_float
from memup_lightning.specs import FieldSpec

ONE_HOT_UP_TO = 32
"""Tokens of more classes are embedded."""
_INDEX_DTYPES = (torch.int32, torch.int64)  # of F.embedding
_IMAGES_AT_ONCE = 512  # without gradients
_MIN_PICTURE_SIDE = 12  # pixels; smaller images are mostly symbolic
_LEAK = 0.1  # slope of a unit of an image encoder below 0
_RARE = 0.1**0.5  # root mean square of a feature of size 1 that a tenth of the steps show


class TokenEncoder(nn.Module):
    """Class numbers ``[..., *shape]`` to ``[..., output_size]``; -1 (no such step) gives zeros.

    Args:
        field: a token field.
        embedding_size: features of a token, where it has more than :data:`ONE_HOT_UP_TO` classes.
        one_hot: value of the 1 in a one-hot token; standard deviation of the numbers of a fresh embedding.
    """

    def __init__(self, field: FieldSpec, embedding_size: int = 32, one_hot: float = 1.0) -> None:
        super().__init__()
        self.dims = len(field.shape)
        self.classes = field.classes
        self.embedding: nn.Embedding | None = None
        if field.classes > ONE_HOT_UP_TO:
            self.embedding = nn.Embedding(field.classes + 1, embedding_size, padding_idx=0)
            with torch.no_grad():
                self.embedding.weight.mul_(one_hot)
        else:
            self.register_buffer("eye", one_hot * torch.eye(field.classes + 1)[:, 1:], persistent=False)
        each = embedding_size if self.embedding else field.classes
        self.output_size = each * math.prod(field.shape)

    def forward(self, x: Tensor) -> Tensor:
        index = (x if x.dtype in _INDEX_DTYPES else x.long()) + 1
        features = F.embedding(index, self.get_buffer("eye")) if self.embedding is None else self.embedding(index)
        return features.flatten(x.dim() - self.dims) if self.dims else features


class ImageEncoder(nn.Module):
    """Images ``[..., height, width, channels]`` (uint8, or floats in [0, 1]) to ``[..., output_size]``.

    Three convolutions as in Mnih et al. (Nature, 2015) for images from 36 pixels a side on. Smaller images get two
    convolutions of 3 pixels, with stride 2 from 12 pixels a side on. Below that they are mostly symbolic views, such as
    MiniGrid's 7x7, whose class numbers are small: their uint8 is divided by 16 and not by 255.

    Images are standardised, once the statistics of the data are known
    (:class:`~memup_lightning.models.scaling.ImageStandardizer`): the features of plain ones are a hundredth of numbers and
    tokens, which hide them. And units leak (Maas et al., "Rectifier nonlinearities improve neural network acoustic
    models", 2013): without, all of them died in the first hundreds of updates, and left the memory blind.

    Args:
        field: an image field.
        output_size: features.
        standardize: whether each image is scaled to mean 0 and standard deviation 1 over its pixels and channels instead,
            so that brightness makes no difference. An agent without a memory of recorded episodes knows no statistics.
    """

    min_side = 36  # pixels that the convolutions need

    def __init__(self, field: FieldSpec, output_size: int = 128, standardize: bool = False) -> None:
        super().__init__()
        height, width, channels = field.shape
        side = min(height, width)
        self.scale = (255.0 if side >= _MIN_PICTURE_SIDE else 16.0) if field.dtype == "uint8" else 1.0
        self.standardizer = None if standardize else ImageStandardizer(math.prod(field.shape))
        self.output_size = output_size
        self.layers = self.convolutions(channels) if side >= self.min_side else _small_convolutions(channels, side)
        with torch.no_grad():
            flat = self.layers(torch.zeros(1, channels, height, width)).numel()
        self.project = nn.Linear(flat, output_size)

    def convolutions(self, channels: int) -> nn.Module:
        """Make the layers from images ``[rows, channels, height, width]`` to feature maps."""
        return nn.Sequential(
            nn.Conv2d(channels, 32, 8, 4),
            nn.LeakyReLU(_LEAK),
            nn.Conv2d(32, 64, 4, 2),
            nn.LeakyReLU(_LEAK),
            nn.Conv2d(64, 64, 3),
            nn.LeakyReLU(_LEAK),
        )

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, *x.shape[-3:])
        if torch.is_grad_enabled() or len(rows) <= _IMAGES_AT_ONCE:
            features = self._encode(rows)
        else:  # whole episodes, whose feature maps take a hundred times the memory of their pixels
            features = torch.cat([self._encode(part) for part in rows.split(_IMAGES_AT_ONCE)])
        return features.view(*x.shape[:-3], self.output_size)

    def _encode(self, rows: Tensor) -> Tensor:
        image = rows.to(self.project.weight.dtype)
        if self.standardizer is None:
            image = F.layer_norm(image / self.scale, image.shape[1:])
        elif self.standardizer.is_fitted:
            image = compress_tails(self.standardizer(image.flatten(1))).view_as(rows)
        else:
            image = image / self.scale
        return F.leaky_relu(self.project(self.layers(image.movedim(-1, 1)).flatten(1)), _LEAK)


class SmallImageEncoder(ImageEncoder):
    """:class:`ImageEncoder` of two thin convolutions, for large plain objects in images of at least 16 x 16 pixels."""

    min_side = 16

    def convolutions(self, channels: int) -> nn.Module:
        thin = nn.Conv2d(channels, 16, 8, 4), nn.LeakyReLU(_LEAK), nn.Conv2d(16, 32, 3, 2), nn.LeakyReLU(_LEAK)
        return nn.Sequential(*thin)


def _small_convolutions(channels: int, side: int) -> nn.Module:
    stride = 2 if side >= _MIN_PICTURE_SIDE else 1
    return nn.Sequential(
        nn.Conv2d(channels, 16, 3, stride, padding=1),
        nn.LeakyReLU(_LEAK),
        nn.Conv2d(16, 32, 3, stride, padding=1),
        nn.LeakyReLU(_LEAK),
    )


ImageCallable: TypeAlias = Callable[[FieldSpec, int], ImageEncoder]


class VectorEncoder(nn.Module):
    """Numbers ``[..., *shape]`` to ``[..., output_size]``: standardised, once the statistics of the data are known.

    Args:
        field: the field that is encoded.
    """

    def __init__(self, field: FieldSpec) -> None:
        super().__init__()
        self.dims = len(field.shape)
        self.output_size = math.prod(field.shape)
        self.standardizer = InputStandardizer(self.output_size)

    def forward(self, x: Tensor) -> Tensor:
        if self.dims != 1:
            x = x.flatten(x.dim() - self.dims) if self.dims else x.unsqueeze(-1)
        if self.standardizer.is_identity:
            return x if x.is_floating_point() else x.float()
        return self.standardizer.squash(self.standardizer(x))


class StepEncoder(nn.Module):
    """All fields of a step to one vector: ``{name: [..., *shape]}`` to ``[..., output_size]``.

    What a memory reads is scaled once the data are known (:meth:`fit_features`). Numbers are centered. What most steps show
    is then 0, and what is rare is large compared with it: a memory that adds up its inputs is not filled by a thousand
    steps of the same corridor, and its state after them hardly moves when its weights do. Tokens are not: copies over a
    thousand blanks were learned worse with blanks that are 0. And numbers and one-hot tokens that few steps show, as a
    code of an alarm, are raised to the size that what a tenth of the steps shows has on average, up to ``rare``: among
    ten columns that vary at every step they would be lost in a state that has room for all.

    Args:
        fields: the fields; the model fills them in.
        hidden_size: size of a linear layer with ReLU after the joined features; 0: no such layer.
        embedding_size: features of a token of many classes.
        image_size: features of an image.
        image: ``(field, output_size) -> encoder`` of images.
        one_hot: value of the 1 in a one-hot token; standard deviation of the numbers of a fresh embedding. In a recurrent
            core with small first weights, such as torch's, a token that comes once has little effect; a larger number
            gives it more.
        rare: size up to which a number or a one-hot token that few steps show is raised; 1: it stays as it is.
    """

    _dtype: Tensor
    center: Tensor
    gain: Tensor
    fitted: Tensor

    def __init__(
        self,
        fields: Mapping[str, FieldSpec],
        hidden_size: int = 0,
        embedding_size: int = 32,
        image_size: int = 128,
        image: ImageCallable = ImageEncoder,
        one_hot: float = 1.0,
        rare: float = 6.0,
    ) -> None:
        super().__init__()
        check_at_least(1, rare=rare)
        self.names = list(fields)
        self._one_hot, self._rare = one_hot, rare
        encoders: list[TokenEncoder | ImageEncoder | VectorEncoder] = []
        for field in fields.values():
            if field.type == "token":
                encoders.append(TokenEncoder(field, embedding_size, one_hot))
            elif field.type == "image":
                encoders.append(image(field, image_size))
            else:
                encoders.append(VectorEncoder(field))
        self.encoders = nn.ModuleList(encoders)
        self._sizes = [encoder.output_size for encoder in encoders]
        self.joined_size = sum(self._sizes)
        self.output_size = hidden_size or self.joined_size
        self.register_buffer("center", torch.zeros(self.joined_size))
        self.register_buffer("gain", torch.ones(self.joined_size))
        self.register_buffer("fitted", torch.tensor(False))
        self.register_buffer("_dtype", torch.empty(0), persistent=False)  # follows module.to(dtype)
        self.hidden: nn.Module | None = None
        if hidden_size:
            self.hidden = nn.Sequential(nn.Linear(self.joined_size, hidden_size), nn.ReLU())

    def unfitted(self) -> dict[str, Standardizer]:
        """Return the standardizer of each field of numbers or images whose statistics are not known yet."""
        named = zip(self.names, self.encoders, strict=True)
        own = {name: x.standardizer for name, x in named if isinstance(x, VectorEncoder | ImageEncoder)}
        return {name: x for name, x in own.items() if x is not None and not x.is_fitted}

    @property
    def standardizers(self) -> dict[str, InputStandardizer]:
        """What each field of numbers, neither tokens nor images, is standardised by."""
        named = zip(self.names, self.encoders, strict=True)
        return {name: x.standardizer for name, x in named if isinstance(x, VectorEncoder)}

    @property
    def fitted_fields(self) -> list[str]:
        """Fields whose features :meth:`fit_features` scales: numbers, and tokens that are one-hot."""

        def is_fitted(x: nn.Module) -> bool:
            return isinstance(x, VectorEncoder) or (isinstance(x, TokenEncoder) and x.embedding is None)

        return [name for name, x in zip(self.names, self.encoders, strict=True) if is_fitted(x)]

    @torch.no_grad()
    def fit_features(self, values: Fields) -> None:
        """From now on, center the features of numbers, and raise those that are rare.

        Args:
            values: each of the :attr:`fitted_fields` at a sample of steps, ``[steps, *shape]``.
        """
        places = zip(self.center.split(self._sizes), self.gain.split(self._sizes), strict=True)
        for name, encoder, (center, gain) in zip(self.names, self.encoders, places, strict=True):
            if name in values:
                features: Tensor = encoder(values[name].to(center.device)).to(wide_float(center.device))
                if isinstance(encoder, VectorEncoder):
                    center.copy_(features.mean(0))
                size = 1.0 if isinstance(encoder, VectorEncoder) else self._one_hot  # of a number's spread, of a token
                usual = (features - center).square().mean(0).sqrt() / size
                gain.copy_(((_RARE / usual).clamp(max=self._rare) / size).clamp(min=1))
        self.fitted.fill_(True)

    @torch.no_grad()
    def leave_out(self, components: Mapping[str, Tensor]) -> None:
        """From now on, make features 0.

        Args:
            components: which ones of each field: bool ``[components]`` of a vector, ``[1]`` of the whole field.
        """
        for name, gain in zip(self.names, self.gain.split(self._sizes), strict=True):
            gain.masked_fill_(components[name].to(gain.device).expand_as(gain), 0)

    def forward(self, fields: Fields) -> Tensor:
        parts = [encoder(fields[name]) for name, encoder in zip(self.names, self.encoders, strict=True)]
        joined = (parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)).to(self._dtype.dtype)
        joined = (joined - self.center) * self.gain
        return joined if self.hidden is None else self.hidden(joined)


class WindowEncoder(nn.Module):
    """A window of W steps to the features of a local context: ``{name: [..., W, *shape]}`` to ``[..., output_size]``.

    All steps have the same encoder; their features are concatenated in order.

    Args:
        fields: the fields; the model fills them in.
        window: W; the task fills it in.
        step: encoder of one step.
    """

    def __init__(self, fields: Mapping[str, FieldSpec], window: int, step: StepEncoder) -> None:
        super().__init__()
        self.window = window
        self.step = step
        self.output_size = window * step.output_size

    def forward(self, fields: Fields) -> Tensor:
        steps: Tensor = self.step(fields)
        return steps.flatten(-2)
