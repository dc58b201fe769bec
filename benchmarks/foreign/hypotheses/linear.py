"""Linear layers: the matrix, the bias and the order of what was flattened."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.foreign.hypotheses.evidence import READ, SAME, Evidence, Hypothesis, left_by, settle
from benchmarks.foreign.hypotheses.fitting import fit_matrix
from benchmarks.parity.channels import energy


@dataclass(frozen=True)
class _Linear:
    weight: np.ndarray  # (O, I)
    bias: np.ndarray  # (O,)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        return rows @ self.weight.T + self.bias


def linear_hypotheses(evidence: Evidence) -> Iterator[Hypothesis]:
    """Every linear layer that differs in one thing from the reference's, by its own weight or one solved for."""
    reference = np.asarray(evidence.reference, np.float64)
    answers = reference.reshape(-1, reference.shape[-1])
    for x in (x for _, x in evidence.inputs()):
        for form, rows in _flattened(x, len(answers)):
            linear = _of_reference(evidence.own(), rows, answers)
            if linear is not None:
                for guess in _faults(evidence, linear, rows, x, form):
                    yield replace(guess, prediction=guess.prediction.reshape(reference.shape))
                return
    yield from _moved(evidence)


def _flattened(x: np.ndarray, count: int) -> Iterator[tuple[str, np.ndarray]]:
    """(form, rows (count, I)): the last axis of x, or its picture as a row an image, or the mean of that picture."""
    if x.ndim >= 2 and x.size // x.shape[-1] == count:
        yield "as it is", x.reshape(count, -1)
    if x.ndim > 2 and len(x) == count:
        yield "flattened", x.reshape(count, -1)
    if x.ndim == 4 and len(x) == count:
        yield "mean", x.mean(axis=(2, 3))


def _of_reference(own: dict[str, np.ndarray], rows: np.ndarray, answers: np.ndarray) -> _Linear | None:
    weight = own.get("weight")
    if weight is None:
        fitted = fit_matrix(rows, answers)
        options = [] if fitted is None else [_Linear(*fitted)]
    elif weight.ndim == 2 and weight.shape == (answers.shape[1], rows.shape[1]):
        options = [_Linear(weight, own.get("bias", np.zeros(len(weight))))]
    else:
        options = []
    found = settle(((option, option(rows)) for option in options), answers)
    return None if found is None else found[0]


def _faults(evidence: Evidence, linear: _Linear, rows: np.ndarray, x: np.ndarray, form: str) -> Iterator[Hypothesis]:
    weight, bias = linear.weight, linear.bias
    plain = rows @ weight.T
    if np.any(bias):
        yield Hypothesis("the bias is missing: left out or not loaded", plain)
        yield Hypothesis("the bias is added twice", plain + 2 * bias)
        yield Hypothesis("the bias is subtracted", plain - bias)
    if weight.shape[0] == weight.shape[1]:
        yield Hypothesis("the square weight is transposed: (in, out) for (out, in)", rows @ weight + bias)
    misread = weight.T.reshape(weight.shape)
    if weight.shape[0] != weight.shape[1] and not np.array_equal(misread, weight):
        yield Hypothesis("the weight was written as (in, out) and is read as (out, in)", rows @ misread.T + bias)
    if form == "flattened" and x.ndim == 4:
        last = x.transpose(0, 2, 3, 1).reshape(len(x), -1)
        yield Hypothesis("its inputs are flattened in another order: channels last", linear(last))
        turned = x.transpose(0, 1, 3, 2).reshape(len(x), -1)
        yield Hypothesis("its inputs are flattened in another order: columns before rows", linear(turned))
    if form == "mean":
        yield Hypothesis("it is given the maximum of the picture, not the mean", linear(x.max(axis=(2, 3))))
        yield Hypothesis("it is given the sum over the picture, not the mean", linear(x.sum(axis=(2, 3))))
    yield Hypothesis("its inputs stand in the reverse order", linear(rows[:, ::-1]))
    for path, theirs in evidence.alike():
        other = _Linear(theirs["weight"], theirs.get("bias", bias))
        yield Hypothesis(f"the weights are those of {path}: exchanged", other(rows))
        yield Hypothesis(f"the weight is that of {path}", other(rows) - other.bias + bias)
    for name, array in evidence.parameters.items():
        if name.endswith((".bias", ".beta")) and np.shape(array) == bias.shape:
            yield Hypothesis(f"the bias is another's: {name}", plain + np.asarray(array, np.float64))
    by_bias = list(_moved(evidence))
    yield from by_bias or _of_fitted(evidence, rows)


def _of_fitted(evidence: Evidence, rows: np.ndarray) -> Iterator[Hypothesis]:
    """What remains if the port's answer is linear in the same inputs."""
    other = np.asarray(evidence.other, np.float64)
    answers = other.reshape(-1, other.shape[-1])
    fitted = fit_matrix(rows, answers, is_unique=False) if len(answers) == len(rows) else None
    if fitted is not None:
        answer = _Linear(*fitted)(rows)
        if left_by(answers, answer, energy(answers)) < SAME:
            yield Hypothesis("the weight has other values: not loaded, or another's", answer, READ)


def _moved(evidence: Evidence) -> Iterator[Hypothesis]:
    """The reference's answer with one row added everywhere, which a bias leaves to the last digits."""
    reference, other = np.asarray(evidence.reference, np.float64), np.asarray(evidence.other, np.float64)
    if reference.ndim < 2 or other.shape != reference.shape or reference[..., 0].size < 2:
        return
    apart = other - reference
    row = apart.mean(axis=tuple(range(apart.ndim - 1)))
    if left_by(apart, np.broadcast_to(row, apart.shape), energy(apart)) < SAME:
        yield Hypothesis("the bias has other values: missing, wrong or not loaded", reference + row, READ)
