"""The benchmark of the array contract leaves no operation out, and its table says who is fastest."""

from benchmarks.ops import cases, table
from tests.contract.comparing import contract_functions


def test_every_function_of_the_contract_is_measured():
    assert contract_functions().keys() - cases().keys() == set()


def test_the_table_gives_ratios_to_the_fastest():
    def seconds(value):
        return {"exp": {"first": 2.5, "best": value}}

    lines = table({"torch": seconds(0.002), "jittor": seconds(0.001), "mindspore": seconds(0.004)}).splitlines()
    assert lines[1].split() == ["exp", "1.00", "2.0", "1.0", "4.0", "2.5"]
