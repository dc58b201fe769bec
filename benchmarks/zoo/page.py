"""The page of the published weights: a row for each file, and ours beside the authors' figures where they are rated."""

from collections.abc import Sequence
from typing import Any

from benchmarks.frameworks import FRAMEWORKS
from benchmarks.zoo.published import Published, in_words

TITLES = {"torch": "PyTorch", "jittor": "Jittor", "mindspore": "MindSpore"}

HEAD = """# The zoo: published weights and their figures

The files that the originals' authors published and that the commands here read as they are, with the figures that the
authors give. The columns of the three frameworks are this project's own figures on COCO val2017; they are empty until
somebody has rated the files where they and COCO are. YOLACT's authors rate on test-dev, whose annotations are not
public.

```
python -m benchmarks.zoo weights --data datasets/coco --output zoo     # every known file in the folder `weights`
python -m benchmarks.zoo --page docs/zoo.md --output zoo               # writes this page with what was found
```

The list stands in the families' rooms, `common/families/FAMILY/published.yaml`, from which this page is made.
"""


def make_page(known: Sequence[Published], rows: Sequence[dict[str, Any]]) -> str:
    """The page as Markdown; `rows` are those of finished ratings."""
    figures = {(row["file"], row["framework"]): row["figures"] for row in rows}
    heads = ["file", "model", "published", "rated on", *(TITLES[name] for name in FRAMEWORKS)]
    lines = [HEAD, _line(heads), _line(["---"] * len(heads))]
    for entry in known:
        ours = [in_words(figures.get((entry.file, name), {}), entry.figures) for name in FRAMEWORKS]
        published = f"[{in_words(entry.figures)}]({entry.source})"
        lines.append(_line([f"`{entry.file}`", f"`{entry.model}`", published, entry.rated_on, *ours]))
    if rows:
        lines += ["", f"Ours: {'; '.join(f'{key}: {text}' for key, text in rows[-1]['about'].items())}."]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
