"""Which student layer learns from which teacher layer. Free of torch, so that a spec can be checked without it."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import InputError

Pairs = tuple[tuple[int, int], ...]
"""(student layer, teacher layer), both from 1, in ascending order of the student's."""


def patient_pairs(mapping: str | Sequence[tuple[int, int]], *, student: int, teacher: int) -> Pairs:
    """The matched layers of Patient KD (Sun et al. 2019, section 3.2); both strategies leave the last layer out.

    With M student and N teacher layers:

    - `skip` (also `uniform`): student k learns from teacher k*N/M, k = 1..M-1. 12 to 6: 2,4,6,8,10; 24 to 6:
      4,8,12,16,20; 12 to 4: 3,6,9; 12 to 3: 4,8. Where N/M is not whole, k*N/M is rounded, halves up.
    - `last`: student k learns from teacher N-M+k, k = 1..M-1. 12 to 6: 7..11.
    - pairs are taken as they are.

    Raises:
        InputError: the mapping is impossible for these depths; the message says why.
    """
    if not isinstance(mapping, str):
        return _explicit(mapping, student=student, teacher=teacher)
    _deep_enough(student=student, teacher=teacher)
    if student == 1:
        raise InputError(
            f"The layer mapping '{mapping}' leaves the last layer out, and a student of 1 layer has no other.",
            f"Give pairs, for example 1:{teacher}, or use the method 'logit'.",
        )
    return _named(mapping, student=student, teacher=teacher, upto=student - 1)


def feature_pairs(mapping: str | Sequence[tuple[int, int]], *, student: int, teacher: int) -> Pairs:
    """The matched layers of the feature method (TinyBERT, Jiao et al. 2020, section 3.1); the last layer takes part.

    With M student and N teacher layers: `uniform` is student m to teacher m*N/M, m = 1..M (rounded, halves up, where
    N/M is not whole); `last` is student m to teacher N-M+m; `skip` is Patient KD's table, without the last layer.

    Raises:
        InputError: the mapping is impossible for these depths; the message says why.
    """
    if not isinstance(mapping, str):
        return _explicit(mapping, student=student, teacher=teacher)
    if mapping == "skip":
        return patient_pairs(mapping, student=student, teacher=teacher)
    _deep_enough(student=student, teacher=teacher)
    return _named(mapping, student=student, teacher=teacher, upto=student)


def _deep_enough(*, student: int, teacher: int) -> None:
    if student > teacher:
        raise InputError(
            f"The student has {student} layers and the teacher {teacher}: there is no mapping by name from fewer "
            "layers to more.",
            "Give pairs such as 1:1,2:2 as the layer mapping, or a student with fewer layers.",
        )


def _named(mapping: str, *, student: int, teacher: int, upto: int) -> Pairs:
    if mapping == "last":
        return tuple((k, teacher - student + k) for k in range(1, upto + 1))
    if mapping in ("skip", "uniform"):
        return tuple((k, (2 * k * teacher + student) // (2 * student)) for k in range(1, upto + 1))
    raise InputError(f"'{mapping}' is no layer mapping.", "Use skip, last, uniform, cut or pairs such as 1:2,2:4.")


def _explicit(pairs: Sequence[tuple[int, int]], *, student: int, teacher: int) -> Pairs:
    chosen = tuple(sorted((int(s), int(t)) for s, t in pairs))
    if not chosen:
        raise InputError("The layer mapping holds no pair.", "Give student:teacher pairs such as 1:2,2:4.")
    for s, t in chosen:
        if not 1 <= s <= student:
            raise InputError(
                f"The layer mapping names student layer {s}; the student has layers 1 to {student}.",
                "Layers count from 1: give pairs student:teacher such as 1:2,2:4.",
            )
        if not 1 <= t <= teacher:
            raise InputError(
                f"The layer mapping names teacher layer {t}; the teacher has layers 1 to {teacher}.",
                "Layers count from 1: give pairs student:teacher such as 1:2,2:4.",
            )
    if len({s for s, _ in chosen}) != len(chosen):
        raise InputError("The layer mapping names a student layer twice.", "Give each student layer one teacher layer.")
    return chosen
