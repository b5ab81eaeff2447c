"""Losses: what the labels say, and what a teacher says."""

import torch.nn.functional as F
from torch import Tensor


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over the batch of -log p(label). Shape: (N, K), int64 (N,) -> ()."""
    return F.cross_entropy(logits, labels)


def distributional_loss(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Cross-entropy of the student's distribution under the teacher's, at temperature 1, mean over the batch.

        L = -1/n sum_i sum_c p_teacher(c | x_i) log p_student(c | x_i),   dL/dz = (p_student - p_teacher) / n

    No label enters. It is the KL divergence plus the teacher's entropy, a constant. The teacher is not trained: its
    logits must carry no gradient.

    Shape: (N, K), (N, K) -> (). Source: ReActNet (arXiv 2003.03488), equation of section 4.3, and its released code.
    """
    assert not teacher_logits.requires_grad, "compute the teacher's logits under torch.no_grad()"
    # The K probabilities of torch's own cross-entropy are the targets; its backward is the formula above.
    return F.cross_entropy(student_logits, teacher_logits.softmax(dim=1))
