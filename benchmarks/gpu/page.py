"""The results of a run as a page of Markdown."""

from typing import Any

Results = dict[str, Any]
DONE = "done"


def page(results: Results) -> str:
    """Card and versions, what failed, a line a part, and every part's tables."""
    parts = results["parts"]
    lines = [f"# {_card(parts)}", "", _summary(results), ""]
    lines += _table([_line(part) for part in parts.values()])
    failed = [
        f"- {part['title']}: {check['name']}: {_number(check['value'])}, allowed {_number(check['allowed'])}"
        for part in parts.values()
        for check in part["checks"]
        if not check["passed"]
    ]
    failed += [f"- {part['title']}: {error}" for part in parts.values() for error in part["errors"]]
    if failed:
        lines += ["", "## What failed", "", *failed]
    for part in parts.values():
        if part["tables"] or part["notes"]:
            lines += ["", f"## {part['title']}"]
            for note in part["notes"]:
                lines += ["", note]
            for name, rows in part["tables"].items():
                lines += ["", f"{name}:", "", *_table(rows)]
    return "\n".join(lines) + "\n"


def has_failed(results: Results) -> bool:
    """Whether a check or a part failed; what was not measured is no failure."""
    return any(
        part["errors"] or any(not check["passed"] for check in part["checks"]) for part in results["parts"].values()
    )


def _card(parts: dict[str, Any]) -> str:
    rows = parts.get("machine", {}).get("tables", {}).get("machine", [])
    facts = {row["what"]: row["value"] for row in rows}
    card = facts.get("card", "not there")
    return f"TriSeg on {'a machine without a GPU' if card == 'not there' else card}"


def _summary(results: Results) -> str:
    small = ", tiny models" if results["small"] else ""
    return f"Device {results['device']}{small}; {results['seconds']:.0f} s of {results['minutes']:g} minutes."


def _line(part: dict[str, Any]) -> dict[str, Any]:
    passed = sum(check["passed"] for check in part["checks"])
    checks = f"{passed} of {len(part['checks'])} passed" if part["checks"] else ""
    errors = f"{len(part['errors'])} errors" if part["errors"] else ""
    found = ", ".join(filter(None, (checks, errors)))
    state = "not measured" if part["state"] == DONE and not (found or part["tables"]) else part["state"]
    return {"part": part["title"], "state": state, "seconds": round(part["seconds"]), "checks": found}


def _table(rows: list[dict[str, Any]]) -> list[str]:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    lines = ["| " + " | ".join(column.replace("_", " ") for column in columns) + " |", "| --- " * len(columns) + "|"]
    return lines + ["| " + " | ".join(_cell(row.get(column)) for column in columns) + " |" for row in rows]


def _cell(value: Any) -> str:
    return "" if value is None else str(value).replace("|", "/")


def _number(value: float | str) -> str:
    return f"{value:.2e}" if isinstance(value, float) else str(value)
