"""Losses: what the labels say, and what teachers say."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from reactnet.train.phase import Phase


def cross_entropy(logits: Tensor, labels: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """Mean over the batch of -log p(label). Shape: (N, K), int64 (N,) -> ().

    With `smoothing` s the target is 1 - s at the label and s / K spread over all K classes.
    """
    return F.cross_entropy(logits, labels, label_smoothing=smoothing)


def distributional_loss(student_logits: Tensor, teacher_logits: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Cross-entropy of the student's distribution under the teacher's, mean over the batch.

        L = -T^2/n sum_i sum_c p_teacher(c | x_i) log p_student(c | x_i),   dL/dz = T (p_student - p_teacher) / n

    with p = softmax(z / T): 1 / T comes from the inside, and T^2 in front (Hinton et al., arXiv 1503.02531) keeps the
    gradient from vanishing as T grows. ReActNet has T = 1. No label enters. It is the KL divergence plus the teacher's
    entropy, a constant. The teacher is not trained: its logits must carry no gradient.

    Shape: (N, K), (N, K) -> (). Source: ReActNet (arXiv 2003.03488), equation of section 4.3, and its released code.
    """
    assert not teacher_logits.requires_grad, "compute the teacher's logits under torch.no_grad()"
    # The K probabilities of torch's own cross-entropy are the targets; its backward is the formula above.
    if temperature == 1:
        return F.cross_entropy(student_logits, teacher_logits.softmax(dim=1))
    told = (teacher_logits / temperature).softmax(dim=1)
    return F.cross_entropy(student_logits / temperature, told) * temperature**2


def label_loss(
    logits: Tensor, labels: Tensor, other_labels: Tensor | None, mix: float | None, smoothing: float
) -> Tensor:
    """Cross-entropy to the labels; of a mixed batch, mix * L(labels) + (1 - mix) * L(other_labels)."""
    loss = cross_entropy(logits, labels, smoothing=smoothing)
    if other_labels is None or mix is None:
        return loss
    return mix * loss + (1 - mix) * cross_entropy(logits, other_labels, smoothing=smoothing)


def phase_loss(
    phase: Phase,
    logits: Tensor,
    told: Sequence[Tensor],
    labels: Tensor,
    other_labels: Tensor | None = None,
    mix: float | None = None,
) -> Tensor:
    """The loss that a phase trains on; `told` holds the logits of each of its teachers.

    With teachers: (1 - label_weight) * sum_t teacher_weight_t * L_t + label_weight * L_labels, where L_t is the
    distributional loss to teacher t. Without: L_labels. Logits of a half type are taken to float32 first.
    """
    logits = _whole(logits)
    smoothing = 0.0 if phase.label_smoothing is None else phase.label_smoothing
    if not told:
        return label_loss(logits, labels, other_labels, mix, smoothing)
    temperature = 1.0 if phase.temperature is None else phase.temperature
    losses = [distributional_loss(logits, _whole(teacher), temperature=temperature) for teacher in told]
    if phase.teacher_weights is None:
        loss = losses[0]
    else:
        weighted = [weight * loss for weight, loss in zip(phase.teacher_weights, losses, strict=True)]
        loss = sum(weighted[1:], weighted[0])
    if phase.label_weight is None:
        return loss
    by_labels = label_loss(logits, labels, other_labels, mix, smoothing)
    return (1 - phase.label_weight) * loss + phase.label_weight * by_labels


def _whole(logits: Tensor) -> Tensor:
    return logits if logits.dtype in (torch.float32, torch.float64) else logits.float()
