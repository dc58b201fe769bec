"""Attention between queries, keys and values and their projection: scale, order, biases, mask and heads."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np

from benchmarks.foreign.hypotheses.evidence import Evidence, Hypothesis, settle
from benchmarks.foreign.hypotheses.fitting import fit_matrix

_SCALES = {
    "head": "1 / root of the head's width",
    "width": "1 / root of all channels",
    "none": "none",
    "twice": "1 / the head's width: applied twice",
}
_MASKED = -100.0
_QUERIES, _KEYS, _VALUES = ("q", "query", "q_proj"), ("k", "key", "k_proj"), ("v", "value", "v_proj")


@dataclass(frozen=True)
class _Attention:
    """order: where queries, keys and values stand among the three parts. interleaved: each head has its three parts.

    biases: (heads, N, N) or None. mask: (windows, N, N) or None. joined: whether heads lie beside each other in the
    answer as channels. over: the axis of the softmax, keys (-1) or queries (-2).
    """

    heads: int
    order: tuple[int, int, int] = (0, 1, 2)
    interleaved: bool = False
    scale: str = "head"
    biases: np.ndarray | None = None
    mask: np.ndarray | None = None
    joined: bool = True
    over: int = -1

    def weights(self, qkv: np.ndarray) -> np.ndarray:
        """(B, heads, N, N): how much each query takes of each value."""
        queries, keys, _ = self._parts(qkv)
        width = queries.shape[-1]
        factors = {"head": width**-0.5, "width": (width * self.heads) ** -0.5, "none": 1.0, "twice": 1 / width}
        logits = queries @ keys.swapaxes(-1, -2) * factors[self.scale]
        if self.biases is not None:
            logits = logits + self.biases
        if self.mask is not None:
            windows = len(self.mask)
            logits = logits.reshape(-1, windows, *logits.shape[1:]) + self.mask[:, None]
            logits = logits.reshape(-1, *logits.shape[2:])
        powers = np.exp(logits - logits.max(axis=self.over, keepdims=True))
        return powers / powers.sum(axis=self.over, keepdims=True)

    def __call__(self, qkv: np.ndarray) -> np.ndarray:
        """qkv (B, N, 3 C) -> (B, N, C), before the projection."""
        taken = self.weights(qkv) @ self._parts(qkv)[2]
        taken = taken.swapaxes(1, 2) if self.joined else taken
        return taken.reshape(*qkv.shape[:2], -1)

    def _parts(self, qkv: np.ndarray) -> tuple[np.ndarray, ...]:
        """Queries, keys and values, each (B, heads, N, C / heads)."""
        batch, tokens, _ = qkv.shape
        if self.interleaved:
            parts = qkv.reshape(batch, tokens, self.heads, 3, -1).transpose(3, 0, 2, 1, 4)
        else:
            parts = qkv.reshape(batch, tokens, 3, self.heads, -1).transpose(2, 0, 3, 1, 4)
        return tuple(parts[part] for part in self.order)


def attention_hypotheses(evidence: Evidence) -> Iterator[Hypothesis]:
    """Every attention that differs in one thing from the reference's, behind its projection."""
    reference = np.asarray(evidence.reference, np.float64)
    if reference.ndim not in (3, 4) or evidence.other.shape != reference.shape:
        return
    for qkv in _projected(evidence):
        tables, masks = _tables(evidence, qkv), _masks(qkv)
        forms = list(_forms(qkv, tables, masks, reference))
        for project in _projections(evidence, reference):
            answers = ((form, answer) for form in forms if (answer := project(form, qkv)) is not None)
            found = settle(answers, reference)
            if found is not None:
                project = project.kept(found[0], qkv)
                for cause, form in _changes(found[0], tables, masks, qkv.shape[-1] // 3):
                    answer = project(form, qkv)
                    if answer is not None:
                        yield Hypothesis(f"the attention: {cause}", answer)
                return


@dataclass(frozen=True)
class _Projection:
    """What follows on the attention in the layer: nothing, or a projection, which is solved for if it is not known."""

    reference: np.ndarray
    weight: np.ndarray | None = None  # (O, C)
    bias: np.ndarray | float = 0.0
    is_there: bool = True

    def __call__(self, form: _Attention, qkv: np.ndarray) -> np.ndarray | None:
        """The layer's answer if its attention has the form; None where the shapes do not fit."""
        if self.reference.ndim == 4:
            return form.weights(qkv)
        taken = form(qkv)
        if not self.is_there:
            return taken
        if self.weight is None:
            solved = self.kept(form, qkv)
            return None if solved.weight is None else solved(form, qkv)
        return taken @ self.weight.T + self.bias if self.weight.shape[1] == taken.shape[-1] else None

    def kept(self, form: _Attention, qkv: np.ndarray) -> "_Projection":
        """The projection that brings the attention of this form nearest to the reference, if it was not known."""
        taken = form(qkv)
        if not self.is_there or self.weight is not None or taken.shape[:2] != self.reference.shape[:2]:
            return self
        width = self.reference.shape[-1]
        solved = fit_matrix(taken.reshape(-1, taken.shape[-1]), self.reference.reshape(-1, width))
        return self if solved is None else replace(self, weight=solved[0], bias=solved[1])


def _projections(evidence: Evidence, reference: np.ndarray) -> Iterator[_Projection]:
    """The projection by the layer's own parameters, or none, or one that is solved for."""
    for owner in (evidence.name, f"{evidence.name}.proj", f"{evidence.name}.out_proj"):
        own = evidence.own(owner)
        if "weight" in own and own["weight"].ndim == 2:
            yield _Projection(reference, own["weight"], own.get("bias", 0.0))
            return
    yield _Projection(reference, is_there=False)
    if reference.ndim == 3:
        yield _Projection(reference)


def _projected(evidence: Evidence) -> Iterator[np.ndarray]:
    """Queries, keys and values in one array (B, N, 3 C), from one layer or three."""
    width, parts = evidence.reference.shape[-1], {}
    for name, x in evidence.inputs():
        last = name.rpartition(".")[2]
        if x.ndim == 3 and (evidence.reference.ndim == 4 or x.shape[-1] == 3 * width) and x.shape[-1] % 3 == 0:
            yield x
        for at, names in enumerate((_QUERIES, _KEYS, _VALUES)):
            if last in names and x.ndim == 3:
                parts.setdefault(at, x)
    if len(parts) == 3 and len({x.shape for x in parts.values()}) == 1:
        yield np.concatenate([parts[at] for at in range(3)], axis=-1)


def _forms(
    qkv: np.ndarray, tables: list[np.ndarray], masks: list[np.ndarray], reference: np.ndarray
) -> Iterator[_Attention]:
    """The forms that a reference has: any number of heads, with or without biases and mask."""
    width = qkv.shape[-1] // 3
    if reference.ndim == 4:
        counts = [reference.shape[1]] if width % reference.shape[1] == 0 else []
    else:
        counts = [heads for heads in range(1, width) if width % heads == 0 and width // heads >= 2]
    for heads in counts:
        biases = [None, *(table for table in tables if len(table) == heads)]
        for bias in biases:
            for mask in (None, *masks):
                for interleaved in (False, True):
                    yield _Attention(heads, interleaved=interleaved, biases=bias, mask=mask)


def _changes(
    form: _Attention, tables: list[np.ndarray], masks: list[np.ndarray], width: int
) -> Iterator[tuple[str, _Attention]]:
    """(cause, form) of every form with one thing changed."""
    for scale, words in _SCALES.items():
        if scale != form.scale:
            cause = f"the scale of the queries is {words}, where the reference has {_SCALES[form.scale]}"
            yield cause, replace(form, scale=scale)
    for order in permutations((0, 1, 2)):
        if order != form.order:
            named = ", ".join(("queries", "keys", "values")[part] for part in order)
            yield f"the order of queries, keys and values: it reads {named}", replace(form, order=order)
    heads_first = replace(form, interleaved=not form.interleaved)
    yield "heads and parts (queries, keys, values) of the projection are exchanged in its layout", heads_first
    for heads in (count for count in range(1, width + 1) if width % count == 0):
        if heads != form.heads and form.biases is None:
            yield f"it has {heads} heads, not {form.heads}", replace(form, heads=heads)
    if form.biases is not None:
        yield "the table of relative positions (bias) is left out", replace(form, biases=None)
        turned = form.biases.swapaxes(1, 2)
        yield "the table of relative positions is read the other way, j - i for i - j", replace(form, biases=turned)
        side = round(form.biases.shape[1] ** 0.5)
        grid = form.biases.reshape(len(form.biases), side, side, side, side) if side**4 == form.biases[0].size else None
        if grid is not None:
            crossed = grid.transpose(0, 2, 1, 4, 3).reshape(form.biases.shape)
            yield (
                "the table of relative positions is read with rows and columns exchanged",
                replace(form, biases=crossed),
            )
        yield "the table's heads are in reverse order", replace(form, biases=form.biases[::-1])
        for table in tables:
            if table.shape == form.biases.shape and table is not form.biases:
                yield "the table of relative positions is another block's", replace(form, biases=table)
    else:
        for table in tables:
            if len(table) == form.heads:
                yield "a table of relative positions (bias) is added", replace(form, biases=table)
    if form.mask is not None:
        yield "the mask of shifted windows is left out", replace(form, mask=None)
        yield (
            "the mask of shifted windows is that of exchanged rows and columns",
            replace(form, mask=form.mask.swapaxes(1, 2)[::-1]),
        )
    else:
        yield from (
            ("the mask of shifted windows is applied where nothing is shifted", replace(form, mask=mask))
            for mask in masks
        )
    yield "the heads are joined without their axis being put beside the channels", replace(form, joined=not form.joined)
    yield "the softmax runs over the queries, not over the keys", replace(form, over=-2 if form.over == -1 else -1)


def _tables(evidence: Evidence, qkv: np.ndarray) -> list[np.ndarray]:
    """Biases (heads, N, N): from parameters by relative position in a window, this block first, or as dumped."""
    tokens, block = qkv.shape[1], evidence.name.rpartition(".")[0]
    side = round(tokens**0.5)
    found = []
    for name, array in evidence.parameters.items():
        if np.ndim(array) == 2 and len(array) == (2 * side - 1) ** 2 and side * side == tokens:
            found.append((not name.startswith(block), _by_position(np.asarray(array, np.float64), side)))
        elif np.ndim(array) == 3 and np.shape(array)[1:] == (tokens, tokens):
            found.append((not name.startswith(block), np.asarray(array, np.float64)))
    dumped = [x[0] if x.ndim == 4 and len(x) == 1 else x for _, x in evidence.inputs()]
    found += [(False, x) for x in dumped if x.ndim == 3 and x.shape[1:] == (tokens, tokens)]
    return [table for _, table in sorted(found, key=lambda entry: entry[0])]


def _by_position(table: np.ndarray, side: int) -> np.ndarray:
    """((2 side - 1)^2, heads) -> (heads, N, N), where the pair (i, j) has the entry of position i less position j."""
    rows, columns = (axis.reshape(-1) for axis in np.indices((side, side)))
    down = rows[:, None] - rows + side - 1
    right = columns[:, None] - columns + side - 1
    return table[down * (2 * side - 1) + right].transpose(2, 0, 1)


def _masks(qkv: np.ndarray) -> list[np.ndarray]:
    """Masks (windows, N, N) of windows shifted by half a side, for each count of images that leaves square pictures."""
    windows, tokens = qkv.shape[:2]
    side = round(tokens**0.5)
    if side * side != tokens or side < 2:
        return []
    masks = []
    for images in (count for count in range(1, windows + 1) if windows % count == 0):
        across = round((windows // images) ** 0.5)
        if across * across * images == windows and across > 1:
            masks.append(_shifted(across, side, side // 2))
    return masks


def _shifted(across: int, side: int, shift: int) -> np.ndarray:
    """The mask of windows (across x across) of a picture rolled by `shift`: tokens of one region see each other."""
    length = across * side
    edges = np.zeros(length, int)
    edges[length - side : length - shift], edges[length - shift :] = 1, 2
    regions = edges[:, None] * 3 + edges
    regions = regions.reshape(across, side, across, side).swapaxes(1, 2).reshape(across * across, -1)
    return np.where(regions[:, :, None] == regions[:, None], 0.0, _MASKED)
