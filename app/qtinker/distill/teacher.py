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
from ..label_order import order_of
from . import precision as arithmetic
from .aligned import Aligned
from .device import moved
from .layers import Attention, Needs, Outputs, head_count, run
from .teacher_cache import LOGITS, TeacherCache, names_for, of_tokens


class Teacher:
    """A trained model that answers for training examples.

    Args:
        loaded: the teacher.
        student: whose tokenizer decides whether the two read the same token ids.
        task: `tasks.Task`; the teacher's labels must be the task's, in any order.
        encoded: the training texts as the teacher's tokenizer cuts them, example by example as the student's; needed
            only where the tokenizers differ.
        read_by_student: the same texts as the student's tokenizer cuts them; needed beside `encoded` where the task is
            answered token by token.

    Raises:
        InputError: the labels are others, `encoded` is needed and missing, or the task is answered with tokens of the
            vocabulary and the tokenizers differ.
    """

    def __init__(
        self, loaded: Loaded, *, student: Loaded, task: Any, encoded: Encoded | None = None,
        read_by_student: Encoded | None = None,
    ) -> None:  # fmt: skip
        self.loaded, self.task = loaded, task
        self.same_tokens = tokenizer_key(loaded.tokenizer) == tokenizer_key(student.tokenizer)
        if not self.same_tokens and task.rewrites:
            raise InputError(
                f"The task {task.type} is answered with tokens of the vocabulary, and {loaded.name} and "
                f"{student.name} have different ones.",
                "Take teachers and a student of one vocabulary.",
            )
        if not self.same_tokens and encoded is None:
            raise InputError(
                f"{loaded.name} and {student.name} have different vocabularies, and the texts were tokenized for the "
                "student only.",
                "Tokenize the training texts for the teacher too.",
            )
        self.encoded = None if self.same_tokens else encoded
        self.aligned: Aligned | None = None
        if self.encoded is not None and task.per_token:
            if read_by_student is None:
                raise InputError(
                    f"{loaded.name} and {student.name} have different vocabularies, and the texts were tokenized for "
                    "the teacher only.",
                    "Tokenize the training texts for the student too.",
                )
            self.aligned = Aligned(self.encoded, read_by_student)
        self.inputs = checkpoint.model_inputs(loaded.model)
        self.order = label_order(loaded, task)
        self.logits: np.ndarray | None = None
        """Known answers to the training examples (N, C), in the task's order of labels; may be set."""
        self.cache: TeacherCache | None = None
        """Known outputs; may be set (`teacher_cache.fill`)."""
        self.device, self.precision = torch.device("cpu"), "fp32"

    @property
    def members(self) -> list[Teacher]:
        """This one, as `Teachers` has several."""
        return [self]

    def prepare(self, device: torch.device, precision: str) -> None:
        """Move to the device and take the arithmetic of the training."""
        self.device, self.precision = device, precision
        checkpoint.own_memory(self.loaded.model)
        self.loaded.model.to(device).eval().requires_grad_(False)

    def outputs(self, indices: np.ndarray, batch: dict[str, Tensor], needs: Needs) -> Outputs:
        """What the teacher says to the training examples `indices`; fp32 logits in the task's order of labels.

        Args:
            batch: the student's micro-batch of these examples, on the device.
        """
        own = indices if self.aligned is None else self.aligned.own(indices)
        out = self._known(own, batch, needs)
        if out is None:
            out = self._run(batch if self.encoded is None else self._collate(self.encoded, own), needs)
        if self.aligned is not None and out.logits is not None:
            length = batch["input_ids"].shape[1]
            out.logits, out.answer_mask = self.aligned.answers(out.logits, own, indices, length)
        return out

    def ask(self, encoded: Encoded, indices: np.ndarray, needs: Needs) -> dict[str, np.ndarray]:
        """Outputs to be kept, by their names in the cache, fp32; logits in the teacher's own order of labels.

        Those of every token are flat, (tokens, D), without padding.
        """
        out = self._run(self._collate(encoded, indices), needs, own_order=True)
        real = out.attention_mask.bool()
        logits = out.logits[real] if self.task.per_token and out.logits is not None else out.logits
        found = {LOGITS[self.task.per_token]: logits}
        found |= {f"cls-{layer}": states for layer, states in out.cls_states.items()}
        for layer in needs.hidden_layers:
            found[f"hidden-{layer}"] = out.hidden_states[layer][real]
        for part, taken in (out.attention.taken if out.attention is not None else {}).items():
            found |= {f"{part}-{layer}": vectors[real] for layer, vectors in taken.items()}
        return {name: tensor.float().cpu().numpy() for name, tensor in found.items() if tensor is not None}

    def _known(self, indices: np.ndarray, batch: dict[str, Tensor], needs: Needs) -> Outputs | None:
        names = names_for(needs, per_token=self.task.per_token, states=True)
        if names == ("logits",) and self.logits is not None:
            return Outputs(self._tensor(np.ascontiguousarray(self.logits[indices])), batch["attention_mask"])
        if self.cache is None or names is None or not set(names) <= set(self.cache.arrays):
            return None
        cache = self.cache
        taken = {
            name: self._tensor(cache.take_tokens(name, indices) if of_tokens(name) else cache.take(name, indices))
            for name in names
        }
        attention = None
        if needs.attention_layers:
            parts = {
                part: {layer: taken[f"{part}-{layer}"] for layer in needs.attention_layers}
                for part in needs.attention_parts
            }
            attention = Attention(head_count(self.loaded.model), parts)
        return Outputs(
            self._ordered(taken[LOGITS[self.task.per_token]]), batch["attention_mask"], attention=attention,
            cls_states={layer: taken[f"cls-{layer}"] for layer in needs.cls_layers},
            hidden_states={layer: taken[f"hidden-{layer}"] for layer in needs.hidden_layers},
        )  # fmt: skip

    def _run(self, batch: dict[str, Tensor], needs: Needs, *, own_order: bool = False) -> Outputs:
        self.loaded.model.eval()
        with torch.no_grad(), arithmetic.autocast(self.device, self.precision):
            out = run(self.loaded.model, {name: batch[name] for name in self.inputs}, needs)
        if out.logits is not None:
            out.logits = out.logits.float() if own_order else self._ordered(out.logits.float())
        return out

    def _ordered(self, logits: Tensor) -> Tensor:
        return logits if self.order is None else logits[..., self.order]

    def _collate(self, encoded: Encoded, indices: np.ndarray) -> dict[str, Tensor]:
        batch = collate(encoded, indices, pad_token_id=self.loaded.tokenizer.pad_token_id)
        return {name: moved(tensor, self.device) for name, tensor in batch.items()}

    def _tensor(self, array: np.ndarray) -> Tensor:
        return moved(torch.from_numpy(array), self.device)


def label_order(teacher: Loaded, task: Any) -> list[int] | None:
    """Which of the teacher's outputs is which of the task's labels; None where the order is the same.

    Names meet by the rule of `order_of`: those that say nothing (LABEL_0, LABEL_1) are in the task's order.

    Raises:
        InputError: the teacher was trained for other labels.
    """
    wanted, own = list(task.labels), teacher.labels
    found = order_of(own, wanted) if wanted else []
    if found is None:
        shown = [", ".join(names[:8]) + (", ..." if len(names) > 8 else "") for names in (own, wanted)]
        raise InputError(
            f"The teacher {teacher.name} was trained for other labels ({shown[0]}) than the data has ({shown[1]}).",
            "Finetune a teacher on this data first (--finetune-teacher), or correct the labels.",
        )
    return None if found == list(range(len(found))) else found
