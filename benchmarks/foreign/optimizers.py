"""Reads an optimizer's rule from its steps, and says what the rule makes of another run's weights and gradients.

A step moves a weight w by -rate * (a d + b w + c p + e h). In SGD d is the gradient, p the last step by its own rate,
and h the gradient before; b is the weight decay and c the momentum, and e is there in Nesterov's alone. In Adam d is
the mean of the gradients by the root of the mean of their squares, and p and h are zero. The numbers are fitted for
each parameter by itself, as groups of parameters have rates and decays of their own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

_SAMPLE = 512  # values of a parameter by which the rule is chosen
_SAMPLED = 24  # parameters by which it is chosen
_BETAS = ((0.9, 0.999), (0.9, 0.99), (0.9, 0.98), (0.9, 0.95), (0.5, 0.999))
_FACTS = {
    "corrected": (True, False),
    "betas": _BETAS,
    "coupled": (0.0, 1e-5, 1e-4, 5e-4, 1e-3, 1e-2, 5e-2, 0.1),
    "epsilon": (1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-10, 1e-16),
    "inside": (False, True),
}
# SGD, which has the fewer numbers, is taken unless Adam leaves this much less unexplained.
_BETTER = 0.5
_UNIT = 2.0**-23
_AS_WELL = 2e-4  # of a parameter's steps may be left unexplained by the numbers of another


@dataclass(frozen=True)
class Move:
    """What one step did to a parameter; the arrays are flat, of float64.

    weight: before the step. gradient: as the optimizer took it. update: after less before. number: of the step, counted
    from the optimizer's first. continues: whether it begins where the move before it ended. memory: the optimizer's
    before the step, by slot; it is asked for where the step does not continue another, for what the slots hold differs
    from framework to framework.
    """

    weight: np.ndarray
    gradient: np.ndarray
    update: np.ndarray
    rate: float
    number: int = 1
    continues: bool = False
    memory: Mapping[str, np.ndarray] = field(default_factory=dict)


# What a parameter's next move needs of those before it: of SGD the last step by its own rate and the gradient of that
# step, of Adam the means of the gradients and of their squares.
State = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Form:
    """What a rule is linear in. betas: of Adam; None for SGD. inside: whether epsilon stands within the root.

    corrected: whether the means of the first steps are scaled up. coupled: weight decay that is added to the gradient.
    """

    betas: tuple[float, float] | None = None
    epsilon: float = 1e-8
    inside: bool = False
    corrected: bool = True
    coupled: float = 0.0

    def columns(self, moves: Sequence[Move]) -> list[np.ndarray]:
        """(numbers, values) for each move of a parameter, in their order: what its four numbers are multiplied with."""
        found, state = [], None
        for move in moves:
            columns, state = self.column(move, state)
            found.append(columns)
        return found

    def column(self, move: Move, state: State | None) -> tuple[np.ndarray, State]:
        """The same for one move, and the state that the next begins with. state: that the one before left."""
        zero = np.zeros_like(move.weight)
        return self._of_adam(move, state, zero) if self.betas else self._of_sgd(move, state, zero)

    def _of_sgd(self, move: Move, state: State | None, zero: np.ndarray) -> tuple[np.ndarray, State]:
        if state is None or not move.continues:
            state = move.memory.get("momentum_buffer", zero), zero
        return np.stack([move.gradient, move.weight, *state]), (-move.update / move.rate, move.gradient)

    def _of_adam(self, move: Move, state: State | None, zero: np.ndarray) -> tuple[np.ndarray, State]:
        first, second = self.betas
        if state is None or not move.continues:
            state = move.memory.get("exp_avg", zero), move.memory.get("exp_avg_sq", zero)
        gradient = move.gradient + self.coupled * move.weight
        mean = first * state[0] + (1 - first) * gradient
        square = second * state[1] + (1 - second) * np.square(gradient)
        size = square / (1 - second**move.number) if self.corrected else square
        root = np.sqrt(size + self.epsilon) if self.inside else np.sqrt(size) + self.epsilon
        up = mean / (1 - first**move.number) if self.corrected else mean
        return np.stack([up / np.maximum(root, 1e-300), move.weight, zero, zero]), (mean, square)


@dataclass(frozen=True)
class Rule:
    """An optimizer's rule. numbers: (4,) for each parameter, a, b, c and e of this file's head."""

    form: Form
    numbers: Mapping[str, np.ndarray]

    def update(self, name: str, move: Move, state: State | None) -> tuple[np.ndarray, State]:
        """What the rule makes of a parameter's weight and gradient, and the state that its next move begins with."""
        columns, state = self.form.column(move, state)
        return -move.rate * (self.numbers[name] @ columns), state

    def leaves(self, name: str, moves: Sequence[Move]) -> float:
        """The share of a parameter's moves that the rule does not explain."""
        columns, targets = _gathered(self.form, moves)
        left = np.linalg.norm(targets - self.numbers[name] @ columns)
        return float(left / max(np.linalg.norm(targets), 1e-300))

    def words(self, name: str) -> str:
        """The rule of a parameter in words."""
        a, b, c, e = self.numbers[name]
        facts = [] if abs(a - 1) < 0.01 or abs(e) > 0.01 else [f"{a:.4g} times the rate"]
        if self.form.betas:
            placed = " inside the root" if self.form.inside else ""
            facts += [
                f"betas {self.form.betas[0]:g} and {self.form.betas[1]:g}",
                f"epsilon {self.form.epsilon:g}{placed}",
            ]
            facts += [] if self.form.corrected else ["no correction of the first steps"]
            facts += [f"weight decay {self.form.coupled:g} added to the gradient"] if self.form.coupled else []
        elif abs(c) > 1e-3 * max(abs(a), 1e-30):
            facts += [f"momentum {c:.3g}" + (" by Nesterov" if abs(e) > 0.01 else "")]
        decay = b / a if a else 0.0
        facts += [f"weight decay {decay:.3g}"] if abs(decay) > 5e-6 else ["no weight decay"]
        return f"{'Adam' if self.form.betas else 'SGD'}: " + ", ".join(facts)


def read_rule(moves: Mapping[str, Sequence[Move]], like: Form | None = None) -> Rule:
    """The rule that explains the moves of all parameters best; like: one to which it is to be near, if it can."""
    largest = sorted(moves, key=lambda name: -moves[name][0].weight.size)[:_SAMPLED]
    sampled = {name: [sample(move, _SAMPLE) for move in moves[name]] for name in largest}
    plain = Form()
    form = _nearest_adam(sampled, like if like and like.betas else Form(_BETAS[0]))
    if _unexplained(form, sampled) > _BETTER * _unexplained(plain, sampled):
        form = plain
    return Rule(form, _fit_all(form, moves))


def _nearest_adam(moves: Mapping[str, Sequence[Move]], form: Form) -> Form:
    """The Adam that explains the moves, found from one by changing the fact that helps most, as long as one helps."""
    left = _unexplained(form, moves)
    while True:
        tried = [replace(form, **{fact: value}) for fact, values in _FACTS.items() for value in values]
        found = [(_unexplained(each, moves), number) for number, each in enumerate(tried)]
        least, number = min(found)
        if least > _BETTER * left:
            return form
        form, left = tried[number], least


def _fit_all(form: Form, moves: Mapping[str, Sequence[Move]]) -> dict[str, np.ndarray]:
    """The four numbers of each parameter; those of another parameter where these explain it as well.

    Parameters of one group have the same numbers. They are read best from a parameter whose gradient is most of its
    steps: that of a bias in front of a norm is rounding alone, and tells nothing of the numbers.
    """
    given = {name: _gathered(form, each) for name, each in moves.items()}
    told = sorted(given, key=lambda name: -_share_of_gradient(*given[name], _rounding(moves[name])))
    found: dict[str, np.ndarray] = {}
    for name in told:
        columns, targets = given[name]
        own = _solve(columns, targets)
        enough = (
            _AS_WELL * np.linalg.norm(targets) + 2 * np.linalg.norm(targets - own @ columns) + _rounding(moves[name])
        )
        left = {other: np.linalg.norm(targets - numbers @ columns) for other, numbers in found.items()}
        found[name] = next((found[other] for other in left if left[other] <= enough), own)
    return found


def _gathered(form: Form, moves: Sequence[Move]) -> tuple[np.ndarray, np.ndarray]:
    """(columns, targets) of all moves of a parameter: what is multiplied by its numbers, and what that is to be."""
    columns = np.concatenate(form.columns(moves), axis=1)
    return columns, np.concatenate([-move.update / move.rate for move in moves])


def _rounding(moves: Sequence[Move]) -> float:
    """The norm of what the rounding of the weights makes of the targets."""
    squares = (np.square(np.linalg.norm(move.weight) / move.rate) for move in moves)
    return 2 * _UNIT * float(np.sqrt(sum(squares)))


def _share_of_gradient(columns: np.ndarray, targets: np.ndarray, rounding: float) -> float:
    """The gradient as a share of the steps and of what rounding makes of them."""
    return float(np.linalg.norm(columns[0]) / (np.linalg.norm(targets) + rounding + 1e-300))


def _unexplained(form: Form, moves: Mapping[str, Sequence[Move]]) -> float:
    """The share of the moves' energy that the form leaves."""
    left = whole = 0.0
    for each in moves.values():
        columns, targets = _gathered(form, each)
        scale = float(targets @ targets)
        if scale:
            rest = targets - _solve(columns, targets) @ columns
            left, whole = left + float(rest @ rest) / scale, whole + 1.0
    return left / whole if whole else 0.0


def _solve(columns: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The numbers that bring the columns (numbers, values) nearest to the targets; 0 for a column of zeros."""
    lengths = np.linalg.norm(columns, axis=1)
    used = lengths > 0
    found = np.zeros(len(columns))
    if used.any() and targets.any():
        scaled = (columns[used] / lengths[used, None]).T
        found[used] = np.linalg.lstsq(scaled, targets, rcond=1e-9)[0] / lengths[used]
    return found


def sample(move: Move, count: int) -> Move:
    """The move of so many of the values or a few more, evenly spaced, as copies; of all where there are fewer."""
    step = max(1, move.weight.size // count)
    memory = {slot: array[::step].copy() for slot, array in move.memory.items()}
    arrays = (array[::step].copy() for array in (move.weight, move.gradient, move.update))
    return Move(*arrays, move.rate, move.number, move.continues, memory)
