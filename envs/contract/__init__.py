"""The contract that every environment keeps, as rules that can be run on anyone's."""

import traceback
from collections.abc import Callable

from drac_jax.types import Environment
from envs.batching import Task
from envs.contract.behaviour import BEHAVIOUR
from envs.contract.form import FORM
from envs.contract.subject import NUM_ENVS, NotApplicable, Subject, make_subject

__all__ = ["NUM_ENVS", "RULES", "NotApplicable", "Subject", "check", "examine", "make_subject"]

RULES: dict[str, Callable[[Subject], list[str]]] = FORM | BEHAVIOUR
# An error is told from the last line that is none of these: the user's own.
NOT_USERS = ("site-packages", "<", "envs/contract/", "envs/batching.py", "envs/foreign/")


def check(env: Environment | Task) -> list[str]:
    """Run the contract's rules on an environment and print a line each. -> the problems.

    A task is batched first. Nothing that the environment raises gets out: it is a problem of the
    rule that met it. Raises ValueError for what is neither an Environment nor a Task.
    """
    subject, found = make_subject(env), list[str]()
    for rule in RULES:
        try:
            problems = examine(rule, subject)
        except NotApplicable as reason:
            print(f"skip   {rule}: {reason}")
            continue
        found += [f"{rule}: {problem}" for problem in problems]
        for problem in problems:
            print(f"WRONG  {rule}: {problem}")
        if not problems:
            print(f"ok     {rule}")
        elif rule in FORM:
            print("the rules after this one need it and were not run")
            break
    return found


def examine(rule: str, subject: Subject) -> list[str]:
    """Run one rule. -> what is wrong. Raises NotApplicable where it has nothing to say."""
    try:
        return RULES[rule](subject)
    except NotApplicable:
        raise
    except Exception as error:  # whatever somebody's environment raises is an answer
        return [_told(error)]


def _told(error: Exception) -> str:
    """Say in one line what was raised, and where in the user's own code."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not any(part in f.filename for part in NOT_USERS)]
    place = f" ({own[-1].filename}:{own[-1].lineno}, in {own[-1].name})" if own else ""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"it raised {type(error).__name__}: {lines[0] if lines else 'without a word'}{place}"
