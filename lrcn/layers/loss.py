"""Probabilities, losses and accuracy."""

import torch
from torch import Tensor

from ..errors import Error
from .base import Layer, canonical_axis, register


def _label_count(x: Tensor, label: Tensor, axis: int) -> tuple[int, int]:
    """How many positions lie before and behind the class axis; an `Error` unless there is a label for each."""
    outer, inner = x.shape[:axis].numel(), x.shape[axis + 1 :].numel()
    if label.numel() != outer * inner:
        raise Error(
            f"{outer * inner} labels were expected for predictions of shape {tuple(x.shape)} with the classes "
            f"along axis {axis}, labels of shape {tuple(label.shape)} were found"
        )
    return outer, inner


@register("Softmax")
class Softmax(Layer):
    """Probabilities along `axis`."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same."""
        return self.ops.softmax(x, canonical_axis(self.definition.softmax_param.axis, x))


@register("SoftmaxWithLoss")
class SoftmaxWithLoss(Layer):
    """Mean negative log likelihood of the labels; a second top holds the probabilities."""

    is_loss = True

    def forward(self, x: Tensor, label: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """x with the classes along `axis`, one label for each of its other positions; a scalar."""
        axis = canonical_axis(self.definition.softmax_param.axis, x)
        outer, inner = _label_count(x, label, axis)
        definition = self.definition.loss_param
        ignore_label = definition.ignore_label if definition.has("ignore_label") else None
        loss, count, prob = self.ops.softmax_loss(x, label, axis, ignore_label)
        loss = self.processes.sum(loss)
        normalization = self._normalization()
        if normalization != "NONE":
            normalizer = {"FULL": outer * inner, "VALID": count, "BATCH_SIZE": outer}[normalization]
            normalizer = torch.as_tensor(normalizer, dtype=loss.dtype, device=loss.device)
            loss = loss / self.processes.sum(normalizer).clamp(min=1)
        return (loss, prob) if len(self.definition.top) > 1 else loss

    def _normalization(self) -> str:
        definition = self.definition.loss_param
        if definition.has("normalize") and not definition.has("normalization"):
            return "VALID" if definition.normalize else "BATCH_SIZE"
        return definition.normalization


@register("EuclideanLoss")
class EuclideanLoss(Layer):
    """Half the mean over items of the squared distance."""

    is_loss = True

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        """Two tensors of as many values per item; a scalar."""
        if x.shape[0] != target.shape[0] or x.shape[1:].numel() != target.shape[1:].numel():
            raise Error(f"shapes {tuple(x.shape)} and {tuple(target.shape)} differ in their values per item")
        items = self.processes.sum(torch.tensor(len(x)))
        return self.processes.sum(self.ops.euclidean_loss(x, target.reshape(x.shape), items.item()))


@register("Accuracy")
class Accuracy(Layer):
    """Share of labels among the top_k predictions, ties counting against; a second top holds it class by class."""

    def forward(self, x: Tensor, label: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """x with the classes along `axis`, one label for each of its other positions; a scalar, (classes,)."""
        definition = self.definition.accuracy_param
        axis = canonical_axis(definition.axis, x)
        _label_count(x, label, axis)
        scores = x.movedim(axis, -1)
        scores = scores.reshape(-1, x.shape[axis])
        wanted = label.flatten().long()
        if definition.top_k > x.shape[axis]:
            raise Error(f"top_k {definition.top_k} is more than the {x.shape[axis]} classes")
        counted = torch.ones_like(wanted, dtype=torch.bool)
        if definition.has("ignore_label"):
            counted = wanted != definition.ignore_label
        chosen = scores.gather(1, torch.where(counted, wanted, 0).unsqueeze(1))
        correct = ((scores >= chosen).sum(1) <= definition.top_k) & counted
        total = self.processes.sum
        accuracy = total(correct.sum()).float() / total(counted.sum()).clamp(min=1)
        if len(self.definition.top) == 1:
            return accuracy
        per_class = torch.zeros(2, x.shape[axis], device=x.device)
        per_class = per_class.index_add(1, torch.where(counted, wanted, 0), torch.stack([correct, counted]).float())
        per_class = total(per_class)
        return accuracy, per_class[0] / per_class[1].clamp(min=1)
