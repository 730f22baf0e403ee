"""An encoder for clips that are longer than what it sees at a time.

In training it is shown a random piece of each clip, another one in each epoch; scoring
takes all pieces side by side and averages their embeddings. So all of every clip is
heard, at the price of a piece for each step.
"""

from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from asdlib.errors import AsdError
from asdlib.sound.features import FeatureConfig


def piece_of(features: FeatureConfig, seconds: float) -> FeatureConfig:
    """The front end of a piece of ``seconds`` of clips with the front end ``features``.

    Raises :class:`AsdError` for a piece that is longer than the clips.
    """
    if seconds > features.seconds:
        raise AsdError(
            f"a window of {seconds:g} s does not fit into clips of "
            f"{features.seconds:g} s: choose a shorter one"
        )
    return replace(features, seconds=seconds)


class Pieces(nn.Module):
    """``encoder`` on pieces of clips: waveforms (B, samples) in ±1 and log-mels (B,
    mels, frames) → embedding (B, dim).

    ``piece`` is the front end that the encoder was made for. Pieces begin at frames of
    the log-mel, so that both inputs are cut at the same place, and the last one ends
    where the clip does, to within a frame.
    """

    def __init__(self, encoder: nn.Module, piece: FeatureConfig):
        super().__init__()
        self.encoder, self.piece = encoder, piece
        self.embedding_dim = cast(int, encoder.embedding_dim)

    def forward(self, waveform: Tensor, log_mel: Tensor) -> Tensor:
        last = self.last(waveform)
        if self.training:
            starts = torch.randint(last + 1, (len(waveform),)).tolist()
            cuts = [
                self.cut(waveform[i : i + 1], log_mel[i : i + 1], start)
                for i, start in enumerate(starts)
            ]
            return self.encoder(*(torch.cat(part) for part in zip(*cuts, strict=True)))
        step = self.piece.samples // self.piece.hop_length
        pieces = [
            self.encoder(*self.cut(waveform, log_mel, start))
            for start in [*range(0, last, step), last]
        ]
        return torch.stack(pieces).mean(dim=0)

    def last(self, waveform: Tensor) -> int:
        """The frame at which the last piece of a clip begins."""
        left = waveform.shape[1] - self.piece.samples
        return max(0, left) // self.piece.hop_length

    def cut(self, waveform: Tensor, log_mel: Tensor, start: int) -> tuple[Tensor, ...]:
        """The pieces of clips that begin at the frame ``start``.

        (B, samples) and (B, mels, frames) → as the encoder expects them.
        """
        sample = start * self.piece.hop_length
        return (
            waveform[:, sample : sample + self.piece.samples],
            log_mel[:, :, start : start + self.piece.frames],
        )
