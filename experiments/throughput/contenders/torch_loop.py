"""A whole training loop in PyTorch and Gymnasium, timed: the contenders of `bench end_to_end`.

One environment on C MuJoCo, one update per env step from a replay of NumPy arrays, as most public
implementations do it. DrAC is that of `torch_update`; SAC has the same networks and optimizers, a
tanh Gaussian actor, and a learned temperature. Needs gymnasium with MuJoCo, and no JAX.

Prints one line of JSON when it is ready, and one for each line that it reads: the seconds of an
env step with its update, of `--updates` in a row. Ends with its input. With `--train` it trains
until it is killed instead, and prints a line for each episode that ends.
"""

import copy
import json
import math
import sys
import time
from typing import NoReturn

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box
from torch import Tensor, nn
from torch.nn import functional as F
from torch_update import SAMPLES, Batch, Latents, Learner, mlp, parser, sample_actions

LOG_STD = (-20.0, 2.0)


class SacLearner:
    """Gaussian actor, twin critics and temperature, with one optimizer each."""

    def __init__(self, args, lr=3e-4):
        obs_size, action_size = args.obs_size, args.action_size
        self.actor = mlp(obs_size, args.hidden, 2 * action_size)
        self.critics = nn.ModuleList(mlp(obs_size + action_size, args.hidden, 1) for _ in range(2))
        self.target_critics = copy.deepcopy(self.critics).requires_grad_(False)
        self.log_alpha = nn.Parameter(torch.tensor(0.2).log())
        self.actor_optimizer = torch.optim.Adam(self.actor.parameters(), lr, fused=True)
        self.critic_optimizer = torch.optim.Adam(self.critics.parameters(), lr, fused=True)
        self.alpha_optimizer = torch.optim.Adam([self.log_alpha], lr, fused=True)
        self.target_entropy, self.gamma, self.tau = -action_size, 0.99, 0.005

    def sample(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Return actions [B, A] and their log-densities [B]."""
        mean, log_std = self.actor(obs).chunk(2, dim=-1)
        law = torch.distributions.Normal(mean, log_std.clamp(*LOG_STD).exp())
        before = law.rsample()
        squash = 2 * (math.log(2) - before - F.softplus(-2 * before))
        return torch.tanh(before), (law.log_prob(before) - squash).sum(dim=-1)

    def act(self, obs: Tensor) -> Tensor:
        return self.sample(obs)[0]

    def q(self, critics: nn.ModuleList, obs: Tensor, action: Tensor) -> list[Tensor]:
        inputs = torch.cat([obs, action], dim=-1)
        return [critic(inputs).squeeze(-1) for critic in critics]

    def update(self, batch: Batch) -> None:
        alpha = self.log_alpha.exp().detach()
        with torch.no_grad():
            action, log_density = self.sample(batch.next_obs)
            value = torch.minimum(*self.q(self.target_critics, batch.next_obs, action))
            target = batch.reward + self.gamma * batch.discount * (value - alpha * log_density)
        loss = sum(F.mse_loss(q, target) for q in self.q(self.critics, batch.obs, batch.action))
        step(self.critic_optimizer, loss)
        with torch.no_grad():
            pairs = zip(self.target_critics.parameters(), self.critics.parameters(), strict=True)
            for slow, online in pairs:
                slow.lerp_(online, self.tau)
        self.critics.requires_grad_(False)
        action, log_density = self.sample(batch.obs)
        value = torch.minimum(*self.q(self.critics, batch.obs, action))
        step(self.actor_optimizer, (alpha * log_density - value).mean())
        self.critics.requires_grad_(True)
        entropy_gap = (log_density.detach() + self.target_entropy).mean()
        step(self.alpha_optimizer, -self.log_alpha * entropy_gap)


class DracLearner(Learner):
    """DrAC that also acts and draws its own latents."""

    def act(self, obs: Tensor) -> Tensor:
        return sample_actions(self.actor, obs, torch.rand(1, len(obs), 16))[0]

    def update(self, batch: Batch) -> None:
        draws = [torch.rand(SAMPLES, len(batch.obs), 16) for _ in range(2)]
        super().update(batch, Latents(*draws))


def step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


class Loop:
    """An environment, its replay and a learner."""

    def __init__(self, args):
        self.env = gymnasium.make(args.env)
        box, seen = self.env.action_space, self.env.observation_space
        assert isinstance(box, Box) and isinstance(seen, Box)
        self.scale, self.middle = (box.high - box.low) / 2, (box.high + box.low) / 2
        args.obs_size, args.action_size = seen.shape[0], box.shape[0]
        self.batch_size, self.size = args.batch, args.capacity
        self.learner = (SacLearner if args.method == "sac" else DracLearner)(args)
        shapes = [args.obs_size, args.action_size, (), (), args.obs_size]
        rows = [(self.size, n) if n != () else (self.size,) for n in shapes]
        self.replay = [np.zeros(shape, np.float32) for shape in rows]
        self.count = 0
        self.total = 0.0  # of the running episode's rewards
        self.rng = np.random.default_rng(args.seed)
        self.obs, _ = self.env.reset(seed=args.seed)

    def interact(self) -> float | None:
        """Take one env step. -> the return of the episode that ends with it, if one does."""
        with torch.no_grad():
            obs = torch.as_tensor(self.obs, dtype=torch.float32)[None]
            action = self.learner.act(obs)[0].numpy()
        after, reward, terminated, truncated, _ = self.env.step(self.middle + self.scale * action)
        row = (self.obs, action, reward, 1.0 - terminated, after)
        for array, value in zip(self.replay, row, strict=True):
            array[self.count % self.size] = value
        self.count += 1
        self.total += float(reward)
        if not (terminated or truncated):
            self.obs = after
            return None
        self.obs, _ = self.env.reset()
        ended, self.total = self.total, 0.0
        return ended

    def learn(self) -> None:
        rows = self.rng.integers(min(self.count, self.size), size=self.batch_size)
        self.learner.update(Batch(*(torch.from_numpy(array[rows]) for array in self.replay)))

    def run(self, count: int) -> float:
        """Return the seconds per env step, its update included."""
        start = time.perf_counter()
        for _ in range(count):
            self.interact()
            self.learn()
        return (time.perf_counter() - start) / count

    def train(self) -> NoReturn:
        """Train for ever, and say what each episode returned."""
        updates = 0
        while True:
            ended = self.interact()
            if self.count > self.batch_size:
                self.learn()
                updates += 1
            if ended is not None:
                spent = {"env_steps": self.count, "updates": updates}
                say(spent | {"cpu_s": time.process_time(), "return": ended})


def say(what: dict) -> None:
    print(json.dumps(what), flush=True)


def main() -> None:
    words = parser()
    words.add_argument("--method", choices=["drac", "sac"], default="drac")
    words.add_argument("--env", default="Hopper-v4")
    words.add_argument("--capacity", type=int, default=100_000, help="transitions in the replay")
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--train", action="store_true", help="until it is killed")
    args = words.parse_args()
    args.device, args.variant = "cpu", "eager"
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    gymnasium.logger.min_level = gymnasium.logger.ERROR
    loop = Loop(args)
    if args.train:
        say({"torch": torch.__version__, "cpu_s": time.process_time()})
        loop.train()
    for _ in range(args.batch):
        loop.interact()
    loop.run(3)
    say({"torch": torch.__version__})
    for _ in sys.stdin:
        say({"seconds": loop.run(args.updates)})


if __name__ == "__main__":
    main()
