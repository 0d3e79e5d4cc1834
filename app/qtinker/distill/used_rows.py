"""Trains only the rows of the word embeddings that the training data uses.

A vocabulary has 30,000 rows or more (119,547 in multilingual BERT), and a data set uses a part of them. A row that no
text uses has no gradient: carrying it through gradient, norm and AdamW's two moments in each step costs time and
memory and changes nothing but its weight decay, which would only wear down words that the student may meet later.
Here the used rows are a parameter of their own while the training lasts; the others stay as they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

WORTH = 0.8
"""Share of the rows in use above which all of them are trained."""
_PART = 1 << 20


class UsedRows(nn.Module):
    """Stands in for an `nn.Embedding` during a training; `weight` is brought up to date by `sync`."""

    used: Tensor
    place: Tensor

    def __init__(self, full: nn.Embedding, used: Tensor) -> None:
        super().__init__()
        self.weight = full.weight
        self.register_buffer("used", used, persistent=False)
        place = torch.full((full.num_embeddings,), -1, dtype=torch.long, device=used.device)
        place[used] = torch.arange(len(used), device=used.device)
        self.register_buffer("place", place, persistent=False)
        self.padding_idx: int | None = None
        if full.padding_idx is not None and int(place[full.padding_idx]) >= 0:
            self.padding_idx = int(place[full.padding_idx])
        # in a tuple, so that neither counts as the model's: its weights keep their names and shapes
        self._hidden = (nn.Parameter(full.weight.detach()[used].clone()), full)

    @property
    def rows(self) -> nn.Parameter:
        """The rows in use [U, D], as they are trained."""
        return self._hidden[0]

    @property
    def full(self) -> nn.Embedding:
        """What this stands in for."""
        return self._hidden[1]

    def forward(self, input_ids: Tensor) -> Tensor:
        """Embeddings (B, L, D); in training the ids must be among those in use."""
        if self.training:
            return F.embedding(self.place[input_ids], self.rows, padding_idx=self.padding_idx)
        return F.embedding(input_ids, self.weight)

    @torch.no_grad()
    def sync(self) -> None:
        """Write the trained rows into the whole matrix, before anyone reads it."""
        self.weight[self.used] = self.rows

    @torch.no_grad()
    def refresh(self) -> None:
        """Take the rows anew from the whole matrix, after somebody wrote it."""
        self.rows.copy_(self.weight[self.used])


def put_in(model: Any, input_ids: np.ndarray, *, also: tuple[int | None, ...] = ()) -> UsedRows | None:
    """Replace the model's word embeddings, where that is right and worth it; undone by `take_out`.

    Args:
        model: on the device of the training.
        input_ids: all token ids of the training data.
        also: ids that training adds, such as padding.

    Returns:
        None where the output layer shares the matrix (then each row has a gradient), or nearly all rows are in use.
    """
    full = model.get_input_embeddings()
    if type(full) is not nn.Embedding or not full.weight.requires_grad or full.max_norm is not None:
        return None
    shared = sum(parameter is full.weight for _, parameter in model.named_parameters(remove_duplicate=False))
    seen = np.zeros(full.num_embeddings, bool)
    for start in range(0, len(input_ids), _PART):  # of a mapped file: all at once would be copied into memory
        seen[input_ids[start : start + _PART]] = True
    seen[[number for number in also if number is not None]] = True
    used = np.flatnonzero(seen)
    if shared > 1 or len(used) > WORTH * full.num_embeddings:
        return None
    stand_in = UsedRows(full, torch.from_numpy(used).to(full.weight.device))
    stand_in.train(full.training)
    full.weight.requires_grad_(False)
    _replace(model, full, stand_in)
    return stand_in


def take_out(model: Any, stand_in: UsedRows) -> None:
    """Give the model its own embeddings back, with the trained rows in them."""
    stand_in.sync()
    stand_in.weight.requires_grad_(True)
    _replace(model, stand_in, stand_in.full)


def _replace(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if child is old and parent is not new:
                setattr(parent, name, new)
