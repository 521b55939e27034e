"""The words that name an environment: `--env NAME`, and short forms of its options."""

from experiments import EXPERIMENTS
from experiments.tasks import any_environment

NAMES = ("--env", "--env.name")
SHORT = {  # an option of the environment that is often said
    "--actor-obs": "--env.actor-obs",
    "--critic-obs": "--env.critic-obs",
}
BARE_METHOD = "amortized"


def settle(words: list[str]) -> list[str]:
    """Turn `METHOD --env NAME` into the name of that experiment, and short options into whole ones.

    Raises ValueError for `--env` without a name, twice, or with an experiment that has an
    environment of its own.
    """
    name, rest = take_name(words)
    if name is None:
        return rest
    method, *others = rest if rest and not rest[0].startswith("-") else [BARE_METHOD, *rest]
    if method in EXPERIMENTS:
        raise ValueError(
            f"--env {name}: {method} has an environment of its own; name a method instead: "
            f"{EXPERIMENTS[method].method} --env {name}"
        )
    if any_environment.is_of_any(method):
        method = method.partition(any_environment.ON)[0]
    return [any_environment.name_of(method, name), *others]


def take_name(words: list[str]) -> tuple[str | None, list[str]]:
    """Take the environment's name out of the words. -> it, and the others, in whole."""
    names, rest, queue = [], list[str](), list(words)
    while queue:
        word, equals, value = queue.pop(0).partition("=")
        if word in NAMES:
            if not equals:
                value = queue.pop(0) if queue and not queue[0].startswith("-") else ""
            names.append(value)
        else:
            rest.append(SHORT.get(word, word) + equals + value)
    if "" in names:
        raise ValueError("--env needs the name of an environment, as in --env brax:ant")
    if len(names) > 1:
        raise ValueError(f"--env is given twice: {' and '.join(names)}; give one")
    return (names[0] if names else None), rest


def take_domain(words: list[str]) -> tuple[str, list[str]]:
    """Take a comparison's domain out of the words: the first one, or what `--env` names. -> it, or
    nothing, and the others, in whole."""
    name, rest = take_name(words)
    if name is None and rest and not rest[0].startswith("-"):
        return rest[0], rest[1:]
    return name or "", rest
