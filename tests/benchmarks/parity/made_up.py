"""Made-up runs of `benchmarks.parity`, with arrays that depart, for the tests of its page."""

from pathlib import Path

import numpy as np

from benchmarks.parity.finding import Difference, Finding, Run, Tolerance
from benchmarks.parity.majority import Departures

ALLOWED = Tolerance(1.1e-7, 1.2e-7, 2.1e-6, 2.2e-6)
NEAR = Difference(3.1e-7, 3.2e-7, 1.0, 1.0)
FAR = Difference(0.25, 0.125, 0.98765, 0.99996)
FIRST = "backbone.layers.0.1.conv2"  # where the faulty framework departs first
STEPS = 6


def finding(name: str, kind: str = "Conv", found: Difference | None = NEAR, gate: int = 1, **more) -> Finding:
    """A finding that passed if it is near, and failed otherwise."""
    verdict = more.pop("verdict", "passed" if found is NEAR else "failed")
    return Finding(gate, name, kind, verdict, found, ALLOWED if found else None, **more)


def faulty_findings() -> list[Finding]:
    """A fault within a residual block, and what follows from it."""
    fault = {"pattern": "scale by channel", "detail": "times 0.5 to 2"}
    cause, consequence = {"found": FAR, "role": "cause"} | fault, {"found": FAR, "role": "consequence"} | fault
    return [
        finding("preprocessing", "preprocessing"),
        finding("input of backbone.conv1", "input"),
        finding("backbone.conv1"),
        finding("backbone.layers.0.0", "Bottleneck"),
        finding("input of backbone.layers.0.1", "input"),
        finding(f"input of {FIRST}", "input"),
        finding(FIRST, **cause),
        finding("backbone.layers.0.1", "Bottleneck", **consequence),
        finding("head.conv", **consequence),
        finding("head.conv@1", **consequence),
        finding("fpn/0", "FPN", **consequence),
        finding("priors", "stage"),
        *(finding(name, mode="injected") for name in ("backbone.conv1", "backbone.layers.0.0", "fpn/0")),
        finding(FIRST, mode="injected", **cause),
        *(finding(name, mode="injected") for name in ("backbone.layers.0.1", "head.conv", "head.conv@1")),
        finding("loss.S", "loss", None, gate=2, role="consequence", pattern="missing", detail='a<b> & "c"'),
        finding("conv.bias", "gradient", FAR, gate=3, verdict="cannot tell", scale_of="conv.weight"),
        finding("conv.weight", "gradient", gate=3),
    ]


def made_up_runs() -> list[Run]:
    """The reference's run, one that passes, one with a fault, and one that was not run."""
    losses = [{"S": 3.0 / step, "B": 1.0 + 1.0 / step} for step in range(1, STEPS + 1)]
    good = [finding(each.name, each.kind, gate=each.gate, mode=each.mode) for each in faulty_findings()]
    return [
        Run("torch", "torch", losses=losses, seconds={"forward": 0.5}, peak_mib=812.4),
        Run("keras", "torch", good, losses=losses),
        Run("jittor", "torch", faulty_findings(), losses=losses),
        Run("mindspore", "torch", not_run="MindSpore is not installed"),
    ]


def keep_arrays(folder: Path, run: Run) -> Departures:
    """Keeps an array of one shape or another for each failure of a run that has a difference."""
    rng, kept = np.random.default_rng(0), Departures.create(folder)
    shapes = [(1, 6, 12, 16), (1, 6, 12, 16), (4, 8, 3, 3), (200, 4), (2000,), (1,)]
    failures = [each for each in run.failures() if each.difference is not None]
    for number, each in enumerate(failures):
        reference = rng.standard_normal(shapes[number % len(shapes)])
        kept.keep(each, reference, reference * (1 + 0.1 * rng.standard_normal(reference.shape)))
    return kept
