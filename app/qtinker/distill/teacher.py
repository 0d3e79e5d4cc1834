"""The teacher's side: always in eval mode, without gradient, asked no more often than needed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import checkpoint
from ..checkpoint import Loaded
from ..data import Encoded, collate, tokenizer_key
from ..errors import InputError
from . import precision as arithmetic
from .layers import Needs, Outputs, run


class Teacher:
    """A trained model that answers for training examples.

    Args:
        loaded: the teacher.
        student: whose tokenizer decides whether the two read the same token ids.
        task: `tasks.Task`; the teacher's labels must be the task's, in any order.
        encoded: the training texts as the teacher's tokenizer cuts them, example by example as the student's; needed
            only where the tokenizers differ.

    Raises:
        InputError: the labels are others, or `encoded` is needed and missing.
    """

    def __init__(self, loaded: Loaded, *, student: Loaded, task: Any, encoded: Encoded | None = None) -> None:
        self.loaded, self.task = loaded, task
        self.same_tokens = tokenizer_key(loaded.tokenizer) == tokenizer_key(student.tokenizer)
        if not self.same_tokens and encoded is None:
            raise InputError(
                f"{loaded.name} and {student.name} have different vocabularies, and the texts were tokenized for the "
                "student only.",
                "Tokenize the training texts for the teacher too.",
            )
        self.encoded = None if self.same_tokens else encoded
        self.inputs = checkpoint.model_inputs(loaded.model)
        self.order = label_order(loaded, task)
        self.logits: np.ndarray | None = None
        self.device, self.precision = torch.device("cpu"), "fp32"

    def prepare(self, device: torch.device, precision: str) -> None:
        """Move to the device and take the arithmetic of the training."""
        self.device, self.precision = device, precision
        self.loaded.model.to(device).eval().requires_grad_(False)

    def outputs(self, indices: np.ndarray, batch: dict[str, Tensor], needs: Needs) -> Outputs:
        """What the teacher says to the examples `indices`; fp32 logits in the task's order of labels.

        Args:
            batch: the student's micro-batch of these examples, on the device.
        """
        if self.logits is not None and not needs.hidden_states and not needs.attention_layers:
            known = torch.from_numpy(np.ascontiguousarray(self.logits[indices])).to(self.device)
            return Outputs(known, batch["attention_mask"])
        if self.encoded is not None:
            own = collate(self.encoded, indices, pad_token_id=self.loaded.tokenizer.pad_token_id)
            batch = {name: tensor.to(self.device) for name, tensor in own.items()}
        self.loaded.model.eval()
        with torch.no_grad(), arithmetic.autocast(self.device, self.precision):
            out = run(self.loaded.model, {name: batch[name] for name in self.inputs}, needs)
        if out.logits is not None:
            out.logits = out.logits.float() if self.order is None else out.logits.float()[..., self.order]
        return out


def label_order(teacher: Loaded, task: Any) -> list[int] | None:
    """Which of the teacher's outputs is which of the task's labels; None where the order is the same.

    Names that say nothing (LABEL_0, LABEL_1) are taken to be in the task's order.

    Raises:
        InputError: the teacher was trained for other labels.
    """
    wanted, own = list(task.labels), teacher.labels
    if not wanted or own == wanted or (len(own) == len(wanted) and all(name.startswith("LABEL_") for name in own)):
        return None
    if sorted(own) != sorted(wanted):
        shown = [", ".join(names[:8]) + (", ..." if len(names) > 8 else "") for names in (own, wanted)]
        raise InputError(
            f"The teacher {teacher.name} was trained for other labels ({shown[0]}) than the data has ({shown[1]}).",
            "Finetune a teacher on this data first (--finetune-teacher), or correct the labels.",
        )
    return [own.index(name) for name in wanted]
