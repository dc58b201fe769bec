"""What does not exist yet for a family of models says so in one line, before it touches anything."""

import pytest

from common.commands import evaluate, predict, trace, train
from common.errors import UserError

NOTHING = ["--data=absent", "--weights=absent.pth", "--output=absent"]
COMMANDS = {
    "training": (train, NOTHING),
    "evaluation": (evaluate, NOTHING),
    "prediction": (predict, [*NOTHING[1:], "absent.png"]),
    "training, in a trace": (trace, ["--inputs=absent.npz", "--outputs=absent", "--weights=absent.pth", "--gradients"]),
}


@pytest.mark.parametrize("work", COMMANDS)
def test_pose2seg_is_refused(work, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command, arguments = COMMANDS[work]
    with pytest.raises(UserError, match=rf"^{work.partition(',')[0]} of pose2seg models is not written yet$"):
        command.main("torch", ["pose2seg_tiny", *arguments])
    assert not list(tmp_path.iterdir())
