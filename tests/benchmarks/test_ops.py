"""The benchmark of the array contract leaves no operation out, and its table says who is fastest."""

import re

from benchmarks.ops import cases, table
from common import array


def test_every_function_of_the_contract_is_measured():
    listed = array.__doc__.split("Creation and conversion")[1]
    contract = set(re.findall(r"\b([a-z][a-z0-9_]+)\(", listed))
    assert len(contract) == 44
    measured = {name.removeprefix("value_and_grad of ") for name in cases()} | {"value_and_grad"}
    assert contract - measured == set()


def test_the_table_gives_ratios_to_the_fastest():
    def seconds(value):
        return {"exp": {"first": 2.5, "best": value}}

    lines = table({"torch": seconds(0.002), "jittor": seconds(0.001), "mindspore": seconds(0.004)}).splitlines()
    assert lines[1].split() == ["exp", "1.00", "2.0", "1.0", "4.0", "2.5"]
