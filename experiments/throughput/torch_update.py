"""One DrAC update in eager PyTorch, timed: the contender of `make bench BENCH=update`.

Amortized actor and paired estimator of arXiv 2511.01374, as an experienced PyTorch user would
write them: the 17 samples of a state in one forward pass, fused Adam, critics frozen in the
actor step. Stands alone, so that it also runs where JAX is not installed. Replay is not
measured; drawing the latents is. Prints one line of JSON.

glibc gives large freed blocks back to the system and fetches them again in every update;
MALLOC_TRIM_THRESHOLD_=-1 MALLOC_MMAP_MAX_=0 in the environment avoids that.
"""

import argparse
import copy
import json
import math
import time
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PAIRS = 8
SAMPLES = 1 + 2 * PAIRS  # sample 0 goes to the critic, then x of every pair, then y


class Batch(NamedTuple):
    """obs, next_obs: [B, O]; action: [B, A]; reward, discount: [B]."""

    obs: Tensor
    action: Tensor
    reward: Tensor
    discount: Tensor
    next_obs: Tensor


class Latents(NamedTuple):
    """Uniform on [0, 1], each [K, B, Z]: at next_obs, and at obs in the actor step."""

    target: Tensor
    actor: Tensor


def mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    layers = [nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(hidden, outputs))


def sample_actions(actor: nn.Module, obs: Tensor, latents: Tensor) -> Tensor:
    """Return actions [K, B, A] of all latents [K, B, Z] from one forward pass."""
    repeated = obs.expand(latents.shape[0], *obs.shape)
    return torch.tanh(actor(torch.cat([repeated, latents], dim=-1)))


def diversity(actions: Tensor) -> Tensor:
    """Return the mean log-distance [B] of the pairs among actions [K, B, A]."""
    x, y = actions[1 : 1 + PAIRS], actions[1 + PAIRS :]
    return torch.log(torch.linalg.vector_norm(x - y, dim=-1) + 1e-5).mean(dim=0)


class Learner:
    """Actor, twin critics and alpha, with one optimizer each."""

    def __init__(self, obs_size, action_size, hidden=256, latent_size=16, beta=0.5, lr=3e-4):
        self.actor = mlp(obs_size + latent_size, hidden, action_size)
        critics = [mlp(obs_size + action_size, hidden, 1) for _ in range(2)]
        self.critics = nn.ModuleList(critics)
        self.target_critics = copy.deepcopy(self.critics).requires_grad_(False)
        self.alpha_weight = nn.Parameter(torch.zeros(()))
        self.actor_optimizer = torch.optim.Adam(self.actor.parameters(), lr, fused=True)
        self.critic_optimizer = torch.optim.Adam(self.critics.parameters(), lr, fused=True)
        self.alpha_optimizer = torch.optim.Adam([self.alpha_weight], 5e-3, fused=True)
        self.target_diversity = math.log(beta * math.sqrt(action_size))
        self.gamma, self.tau = 0.99, 0.005

    def alpha(self) -> Tensor:
        """Return exp(w) below w = 0 and w + 1 above."""
        w = self.alpha_weight
        return torch.where(w < 0, w.clamp(max=0).exp(), w + 1)

    def td_target(self, batch: Batch, latents: Tensor) -> Tensor:
        with torch.no_grad():
            actions = sample_actions(self.actor, batch.next_obs, latents)
            inputs = torch.cat([batch.next_obs, actions[0]], dim=-1)
            next_q = torch.minimum(*(q(inputs).squeeze(-1) for q in self.target_critics))
            value = next_q + self.alpha() * diversity(actions)
            return batch.reward + self.gamma * batch.discount * value

    def critic_step(self, batch: Batch, target: Tensor) -> Tensor:
        inputs = torch.cat([batch.obs, batch.action], dim=-1)
        loss = sum(F.mse_loss(q(inputs).squeeze(-1), target) for q in self.critics)
        self.critic_optimizer.zero_grad()
        loss.backward()
        self.critic_optimizer.step()
        return loss.detach()

    @torch.no_grad()
    def target_step(self) -> None:
        pairs = zip(self.target_critics.parameters(), self.critics.parameters(), strict=True)
        for target, online in pairs:
            target.lerp_(online, self.tau)

    def actor_step(self, obs: Tensor, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Step the actor; return its loss and the mean diversity before the step."""
        self.critics.requires_grad_(False)
        actions = sample_actions(self.actor, obs, latents)
        inputs = torch.cat([obs, actions[0]], dim=-1)
        q = torch.minimum(*(q(inputs).squeeze(-1) for q in self.critics)).mean()
        reached = diversity(actions).mean()
        loss = -(q + self.alpha().detach() * reached)
        self.actor_optimizer.zero_grad()
        loss.backward()
        self.actor_optimizer.step()
        self.critics.requires_grad_(True)
        return loss.detach(), reached.detach()

    def alpha_step(self, reached: Tensor) -> None:
        loss = self.alpha() * (reached - self.target_diversity)
        self.alpha_optimizer.zero_grad()
        loss.backward()
        self.alpha_optimizer.step()

    def update(self, batch: Batch, latents: Latents) -> dict[str, Tensor]:
        """Run one update in the paper's order: critic, target critic, actor, alpha."""
        target = self.td_target(batch, latents.target)
        critic_loss = self.critic_step(batch, target)
        self.target_step()
        actor_loss, reached = self.actor_step(batch.obs, latents.actor)
        self.alpha_step(reached)
        losses = {"critic_loss": critic_loss, "actor_loss": actor_loss}
        return {"target": target, **losses, "diversity": reached}


def make_batches(count: int, batch: int, obs_size: int, action_size: int) -> list[Batch]:
    def one() -> Batch:
        obs, next_obs = torch.randn(2, batch, obs_size)
        action = torch.rand(batch, action_size) * 2 - 1
        return Batch(obs, action, torch.randn(batch), torch.ones(batch), next_obs)

    return [one() for _ in range(count)]


def time_updates(learner: Learner, batches: list[Batch], latent_size: int = 16) -> float:
    """Return the seconds per update over `batches`, one update each."""
    shape = (SAMPLES, len(batches[0].reward), latent_size)
    start = time.perf_counter()
    for batch in batches:
        learner.update(batch, Latents(torch.rand(shape), torch.rand(shape)))
    return (time.perf_counter() - start) / len(batches)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--obs-size", type=int, default=27)
    parser.add_argument("--action-size", type=int, default=8)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--updates", type=int, default=20, help="updates per repeat")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    learner = Learner(args.obs_size, args.action_size)
    batches = make_batches(args.updates, args.batch, args.obs_size, args.action_size)
    time_updates(learner, batches[:3])  # warm up: allocator, Adam's state
    seconds = [time_updates(learner, batches) for _ in range(args.repeats)]
    record = {"torch": torch.__version__, "threads": args.threads}
    print(json.dumps({**record, "seconds_per_update": seconds}))


if __name__ == "__main__":
    main()
