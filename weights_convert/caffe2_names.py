"""Caffe2's names for the arrays of layers: blobs, in which a norm has a scale and a bias and no statistics."""

from collections.abc import Iterable, Iterator

from weights_convert.state_dicts import Entry

_LEAVES = {"weight": "w", "bias": "b"}
_NORM_LEAVES = {"weight": "s", "bias": "b"}


def to_blobs(entries: Iterable[Entry]) -> Iterator[Entry]:
    """The arrays of layers that are called as in Caffe2, under the names of their blobs; statistics are left out.

    `res2.0.branch2a.weight` is the blob `res2_0_branch2a_w`, and `res2.0.branch2a_bn.weight` is `res2_0_branch2a_bn_s`.
    """
    for entry in entries:
        layer, _, leaf = entry.original.rpartition(".")
        leaves = _NORM_LEAVES if layer.endswith("_bn") else _LEAVES
        if leaf in leaves:
            yield entry._replace(original=f"{layer.replace('.', '_')}_{leaves[leaf]}")
