"""The losses of distillation as pure functions: tensors in, one number out, computed in fp32.

Every function is a mean over something that is counted beforehand (examples, real tokens, pairs of real tokens), so
that a batch that is worked through in several micro-batches gets the gradient of the whole batch.

Shapes: B examples, L tokens, C classes, D hidden units, H heads. `attention_mask` is (B, L), 1 at real tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def soft_target_kl(student_logits: Tensor, teacher_logits: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Soft targets: `T^2 * KL(softmax(z_T/T) || softmax(z_S/T))`; sum over classes, mean over examples.

    Hinton, Vinyals, Dean: Distilling the Knowledge in a Neural Network, 2015 (arXiv:1503.02531), section 2. The square
    of the temperature keeps the gradient's size as the temperature changes.

    Args:
        student_logits: (N, C); N examples, or valid tokens in a token task.
        teacher_logits: (N, C).
    """
    student = F.log_softmax(student_logits.float() / temperature, dim=-1)
    teacher = F.log_softmax(teacher_logits.float() / temperature, dim=-1)
    return F.kl_div(student, teacher, reduction="batchmean", log_target=True) * temperature**2


def logit_mse(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """The logits themselves: `1/2 * mean over classes of (z_S - z_T)^2`, mean over examples.

    Kim, Oh, Kim, Cho, Yun: Comparing Kullback-Leibler Divergence and Mean Squared Error Loss in Knowledge Distillation,
    2021 (arXiv:2105.08919). The half makes its gradient that of the soft targets at a high temperature, for logits of
    the same mean, so that the same weight pulls as strongly (Hinton et al. 2015, equation 4).

    Args:
        student_logits: (N, C).
        teacher_logits: (N, C).
    """
    return 0.5 * (student_logits.float() - teacher_logits.float()).square().mean(-1).mean()


def standardized(logits: Tensor) -> Tensor:
    """Each row's logits with mean 0 and standard deviation 1 over the classes: `(z - mean(z)) / std(z)`.

    Sun, Ren, Li, Wang, Cao: Logit Standardization in Knowledge Distillation, 2024 (arXiv:2403.01427), equation 11. For
    two classes only the sign of the difference would be left: there are none but (1, -1) and (-1, 1). A row of equal
    logits becomes zeros, and is moved as if its deviation were 1.

    Args:
        logits: (N, C), C of three and more.
    """
    logits = logits.float()
    centred = logits - logits.mean(-1, keepdim=True)
    equal = logits.amax(-1, keepdim=True) == logits.amin(-1, keepdim=True)  # no deviation: a root at 0 has no gradient
    return centred / (centred.square().mean(-1, keepdim=True).masked_fill(equal, 1.0).sqrt() + 1e-7)


def dist_relations(student_logits: Tensor, teacher_logits: Tensor, *, temperature: float = 1.0) -> Tensor:
    """DIST: `T^2 * (d(rows) + d(columns))` of the softened probabilities, d being 1 minus Pearson's correlation.

    Huang, You, Wang, Qian, Xu: Knowledge Distillation from A Stronger Teacher, 2022 (arXiv:2205.10536), equations 8
    to 10. A row is one example over the classes (mean over examples), a column one class over the examples of the
    micro-batch (mean over classes): that second half depends on how batches are cut.

    Args:
        student_logits: (N, C), C of three and more.
        teacher_logits: (N, C).
    """
    student = (student_logits.float() / temperature).softmax(-1)
    teacher = (teacher_logits.float() / temperature).softmax(-1)
    rows, columns = _distance(student, teacher), _distance(student.T, teacher.T)
    return (rows + columns) * temperature**2


def _distance(student: Tensor, teacher: Tensor) -> Tensor:
    """1 minus Pearson's correlation of matching rows, mean over rows; a row without variation correlates with none."""
    student, teacher = (values - values.mean(-1, keepdim=True) for values in (student, teacher))
    return (1 - F.cosine_similarity(student, teacher, dim=-1)).mean()


def patient_mse(student_cls: Tensor, teacher_cls: Tensor, *, form: str = "paper") -> Tensor:
    """Patient KD: `|| h_S/|h_S| - h_T/|h_T| ||^2`, mean over matched layers and examples.

    Sun, Cheng, Gan, Liu: Patient Knowledge Distillation for BERT Model Compression, 2019 (arXiv:1908.09355),
    equation 7. The paper sums the squares over hidden units; its published code averages over them, so that its beta
    is D times larger for the same pull.

    Args:
        student_cls: (B, layers, D), the [CLS] states of the matched student layers (projected, if widths differ).
        teacher_cls: (B, layers, D).
        form: "paper" sums over hidden units, "reference-code" averages.
    """
    student = F.normalize(student_cls.float(), dim=-1)
    teacher = F.normalize(teacher_cls.float(), dim=-1)
    squares = (student - teacher).square()
    return (squares.sum(-1) if form == "paper" else squares.mean(-1)).mean()


def hidden_mse(student_hidden: Tensor, teacher_hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """Hidden states: `MSE(H_S W, H_T)`, mean over real tokens and hidden units. Also the embedding loss.

    Jiao et al.: TinyBERT, 2020 (arXiv:1909.10351), equations 8 and 9. Padding takes no part.

    Args:
        student_hidden: (B, L, D), already projected where widths differ.
        teacher_hidden: (B, L, D).
    """
    squares = (student_hidden.float() - teacher_hidden.float()).square().mean(-1)
    mask = attention_mask.to(squares.dtype)
    return (squares * mask).sum() / mask.sum().clamp(min=1)


def hidden_cosine(student_hidden: Tensor, teacher_hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """Directions of hidden states: `1 - cos(h_S, h_T)`, mean over real tokens.

    Sanh, Debut, Chaumond, Wolf: DistilBERT, 2019 (arXiv:1910.01108), section 3: the third part of the triple loss.

    Args:
        student_hidden: (B, L, D), already projected where widths differ.
        teacher_hidden: (B, L, D).
    """
    away = 1 - F.cosine_similarity(student_hidden.float(), teacher_hidden.float(), dim=-1)
    mask = attention_mask.to(away.dtype)
    return (away * mask).sum() / mask.sum().clamp(min=1)


def attention_score_mse(student_scores: Tensor, teacher_scores: Tensor, attention_mask: Tensor) -> Tensor:
    """Attention scores before softmax: `1/H sum_i MSE(A_i_S, A_i_T)`, mean over pairs of real tokens and heads.

    Jiao et al.: TinyBERT, 2020 (arXiv:1909.10351), equation 7 and the remark below it: the scores `Q K^T / sqrt(d)`
    are compared before softmax.

    Args:
        student_scores: (B, H, L, L).
        teacher_scores: (B, H, L, L).
    """
    squares = (student_scores.float() - teacher_scores.float()).square().mean(1)
    mask = attention_mask.to(squares.dtype)
    pairs = mask[:, :, None] * mask[:, None, :]
    return (squares * pairs).sum() / pairs.sum().clamp(min=1)


def relation_kl(
    student_vectors: Tensor, teacher_vectors: Tensor, attention_mask: Tensor, *, relation_heads: int
) -> Tensor:
    """Relations: `KL(softmax(A_T A_T^T/sqrt(d_T)) || softmax(A_S A_S^T/sqrt(d_S)))`, A being Q, K or V.

    Wang, Bao, Huang, Dong, Wei: MiniLMv2, 2021 (arXiv:2012.15828), equations 5 to 8: the vectors of all heads are
    joined and split anew into `relation_heads`, so that neither width nor heads of the two models need to agree; mean
    over relation heads and real tokens. Padding is neither query nor key.

    Args:
        student_vectors: (B, L, D_S), the queries, keys or values of one layer, heads side by side.
        teacher_vectors: (B, L, D_T).
    """
    student = _relations(student_vectors, attention_mask, relation_heads)
    teacher = _relations(teacher_vectors, attention_mask, relation_heads)
    # padded keys have log-probability -inf on both sides: 0 * (-inf + inf) must count as 0
    keys = attention_mask[:, None, None, :].bool()
    divergence = (teacher.exp() * (teacher - student).masked_fill(~keys, 0.0)).sum(-1).mean(1)
    mask = attention_mask.to(divergence.dtype)
    return (divergence * mask).sum() / mask.sum().clamp(min=1)


def _relations(vectors: Tensor, attention_mask: Tensor, relation_heads: int) -> Tensor:
    """Log-probabilities (B, relation_heads, L, L) of the scaled products of the vectors with themselves."""
    batch, length, width = vectors.shape
    split = vectors.float().view(batch, length, relation_heads, width // relation_heads).transpose(1, 2)
    with torch.autocast(vectors.device.type, enabled=False):
        scores = split @ split.transpose(-1, -2) / (width // relation_heads) ** 0.5
    return scores.masked_fill(~attention_mask[:, None, None, :].bool(), -torch.inf).log_softmax(-1)
