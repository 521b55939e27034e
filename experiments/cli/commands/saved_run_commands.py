"""The commands on a saved run: `evaluate`, `render` and `robustness`."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from tyro.conf import Positional, arg

from drac_jax import ranges
from drac_jax.figures import plots
from drac_jax.measures import goal_reaching
from drac_jax.measures.wall_robustness import MEASURES, RobustnessConfig
from drac_jax.runs import saved_agent, saved_run
from drac_jax.runs.hardware import machine
from drac_jax.runs.pretrained import shipped
from drac_jax.runs.setup import experiment as exp
from drac_jax.runs.setup import run_setup
from drac_jax.runs.setup.experiment import EvalConfig, Experiment, RunConfig
from drac_jax.runs.storage import run_folder
from drac_jax.runs.storage.console import Reporter
from drac_jax.training.evaluate import Episodes
from drac_jax.types import Visual
from experiments import find
from experiments.cli import terminal
from experiments.cli.commands.train_command import BARE_RUN
from experiments.cli.options import parsing


@dataclass(frozen=True)
class Evaluate[Env]:
    """Play a saved run again: more episodes, the obstacle variant, another map.

    Example: python -m experiments evaluate runs/multigoal_amortized/<id> --env.obstacles
    """

    folder: Positional[Path]  # of the run
    env: Env
    eval: EvalConfig = EvalConfig()
    # Where to play: in this project's environment, or in Gymnasium's own of a locomotion task.
    place: Annotated[Literal["ours", "gymnasium"], arg(name="in")] = "ours"
    best: bool = False  # not the newest agents, but the best by evaluation while training


@dataclass(frozen=True)
class Render[Env]:
    """Draw episodes of a saved run: on the map, as pages for a browser, and as GIFs.

    Example: python -m experiments render runs/ant_amortized/<id> --episodes 4
    """

    folder: Positional[Path]  # of the run
    env: Env
    episodes: int = 4  # how many are played
    member: int = 0  # which of the run's seeds and grid points plays, from 0
    seed: int = 0  # of the episodes
    best: bool = False  # not the newest agent, but the best by evaluation while training


@dataclass(frozen=True)
class Robustness:
    """Play a saved run of a maze on maps with random walls that it has not seen.

    Example: python -m experiments robustness runs/pointmaze_simple_amortized/<id> --maps 30
    """

    folder: Positional[Path]  # of the run
    config: Annotated[RobustnessConfig, arg(name="")] = RobustnessConfig()


@dataclass(frozen=True)
class Trained:
    """A run whose folder is named: its experiment, its identity and its values."""

    folder: Path
    experiment: Experiment
    identity: dict[str, Any]
    config: RunConfig

    @property
    def setup(self) -> run_setup.RunSetup:
        """The run as it was trained. Raises ValueError for a sweep in chunks, whose members have
        no checkpoint in common."""
        if self.config.chunks > 1 and not self.config.chunk:
            one = run_folder.chunk_place(self.folder, 1)
            raise ValueError(f"{self.folder} is a sweep in chunks; name one: {one}")
        return run_setup.prepare(self.experiment, self.config, self.identity["preset"])[0]


def _trained(words: list[str], command: str, may_differ: str) -> Trained:
    """Find the run whose folder the words begin with; prints the help where they ask for no more.
    may_differ: what else the words may say."""
    if words[:1] in (["-h"], ["--help"]):
        kind, default = options_of(command, Path("FOLDER"), find(BARE_RUN).config())
        parsing.parse(kind, words, f"{parsing.PROGRAM} {command}", default)
    if not words or words[0].startswith("-"):
        usage = f"{parsing.PROGRAM} {command} FOLDER"
        raise ValueError(f"{command} needs the folder of a run: {usage}")
    for word in words:
        if word.startswith(("--algorithm.", "--hparams.", "--train.")):
            raise ValueError(f"{word}: only {may_differ} can differ from training")
    folder = shipped.copied(words[0])
    identity = saved_agent.read_identity(folder)
    experiment = find(identity["experiment"])
    return Trained(folder, experiment, identity, saved_agent.config_of(experiment, identity))


def evaluate(words: list[str], began: float) -> int:
    """Play a saved run again and write what comes of it. -> the exit code."""
    run = _trained(words, "evaluate", "env and eval")
    kind, default = options_of("evaluate", run.folder, run.config)
    asked = parsing.parse(kind, words, f"{parsing.PROGRAM} evaluate {run.folder}", default)
    config = replace(run.config, env=asked.env, eval=asked.eval)
    exp.check_numbers(config)
    if asked.place == "gymnasium":
        return _evaluate_in_gymnasium(run, config, asked.best)
    reporter = Reporter()
    folder, results = saved_run.evaluate(run.setup, config, run.folder, reporter, asked.best)
    reporter.close()
    terminal.print_results(results)
    print(f"results and pictures: {folder}")
    return 0


def _evaluate_in_gymnasium(run: Trained, config: RunConfig, best: bool) -> int:
    """Play every member's headline episodes in Gymnasium itself. -> the exit code."""
    from envs.locomotion import in_gymnasium

    if run.experiment.elsewhere is None:
        raise ValueError(f"{run.experiment.name} is no task of Gymnasium; leave --in out")
    name, results = run.experiment.elsewhere(config.env), []
    for member, label in enumerate(run.setup.members.labels):
        policy = saved_agent.load_policy(run.folder, member, best)
        played = in_gymnasium.play(policy, name, config.eval.final_episodes, config.seed)
        goals = np.zeros(len(played.returns), int)
        results.append(label | goal_reaching.episode_summary(*played, goals, 0))
    place = run_folder.new_folder(run.folder / "evaluations", f"gymnasium_{name}")
    content = {"config": exp.to_dict(config), "seeds": results}
    run_folder.write_json(place / run_folder.SUMMARY, content | machine.environment_facts())
    terminal.print_results(results)
    print(f"results: {place}")
    return 0


def options_of(command: str, folder: Path, config: RunConfig) -> tuple[type, Any]:
    """-> the type and the default of a command's options, for a run of these values."""
    if command == "robustness":
        return Robustness, Robustness(folder)
    env = config.env
    if command == "render":
        return parsing.of(Render, type(env)), Render(folder, env)
    return parsing.of(Evaluate, type(env)), Evaluate(folder, env, config.eval)


def render(words: list[str], began: float) -> int:
    """Play some episodes of a saved policy and draw them. -> the exit code."""
    run = _trained(words, "render", "env")
    kind, default = options_of("render", run.folder, run.config)
    asked = parsing.parse(kind, words, f"{parsing.PROGRAM} render {run.folder}", default)
    for name in ("episodes", "member", "seed"):
        ranges.check_number(name, getattr(asked, name), f"--{name}")
    config = replace(run.config, env=asked.env)
    exp.check_numbers(config)
    env = saved_run.env_to_play(run.experiment, run.folder, config)
    if env.visual is None and env.spec.scene is None:
        raise ValueError(f"{env.spec.name} cannot be drawn: it has neither a map nor a model")
    reporter = Reporter()
    reporter.busy(f"playing {asked.episodes} episode(s) of {env.spec.name}")
    which = asked.member, asked.episodes, asked.seed, asked.best
    episodes = saved_run.play(run.folder, env, *which)
    place = run_folder.new_folder(run.folder, "render")
    if env.spec.scene is not None:
        title = f"member {asked.member}: {(episodes.goals > 0).sum()} of {asked.episodes} arrive"
        paths, goals = episodes.paths[None], episodes.goals[None]
        plots.trajectories([env.spec.scene], paths, goals, [title], place / "trajectories.png")
    if env.visual is not None:
        reporter.busy("drawing")
        for problem in _draw_model(env.visual, env.spec.scene is not None, episodes, place):
            reporter.say(f"note: {problem}")
    reporter.close()
    terminal.print_episodes(episodes)
    print(f"{place}: {', '.join(sorted(path.name for path in place.iterdir()))}")
    return 0


def _draw_model(visual: Visual, above: bool, episodes: Episodes, place: Path) -> list[str]:
    """Write a page and a GIF of each episode; above: the GIF's camera looks down. -> what could not
    be written, and why."""
    from envs.render import draw_clips, longest_gif, page  # imports MuJoCo, which takes a second

    model, dt, problems = visual.model(), visual.dt, []
    qpos = [way[:n] for way, n in zip(episodes.records, episodes.lengths, strict=True)]
    names = [f"episode_{number}" for number in range(1, len(qpos) + 1)]
    try:
        for name, way in zip(names, qpos, strict=True):
            (place / f"{name}.html").write_text(page(model, way, dt))
    except ValueError as error:
        problems.append(f"no pages: {error}")
    clips = {place / f"{name}.gif": way for name, way in zip(names, qpos, strict=True)}
    try:
        draw_clips(model, clips, dt, from_above=above)
        if dt * max(episodes.lengths) > longest_gif(dt):
            problems.append(f"the GIFs end after {longest_gif(dt):.1f} s, the pages do not")
    except ValueError as error:
        problems.append(f"no GIFs: {error}")
    return problems


def robustness(words: list[str], began: float) -> int:
    """Play a saved run on maps with random walls. -> the exit code."""
    run = _trained(words, "robustness", "episodes, maps and walls")
    asked = parsing.parse(Robustness, words, f"{parsing.PROGRAM} robustness {run.folder}")
    ranges.check(asked.config)
    setup, reporter = run.setup, Reporter()
    records = saved_run.play_perturbed(setup, asked.config, run.folder, reporter)
    reporter.close()
    terminal.print_results(_medians(records))
    members = len(setup.members.seeds)
    print(f"medians over {members} member(s); every value and pictures: {run.folder}")
    return 0


def _medians(records: list[dict]) -> list[dict]:
    """Take the median over the members for each number of walls."""
    groups = [
        [r for r in records if r["walls"] == k] for k in sorted({r["walls"] for r in records})
    ]
    return [
        {"walls": group[0]["walls"]}
        | {name: float(np.median([r[name] for r in group])) for name in MEASURES}
        for group in groups
    ]
