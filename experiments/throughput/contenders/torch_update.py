"""One DrAC update in PyTorch, timed: the contenders of `make bench BENCH=update`.

Amortized actor and paired estimator of arXiv 2511.01374, as an experienced PyTorch user would
write them: the 17 samples of a state in one forward pass, fused Adam, critics frozen in the
actor step. Variants: `eager`; `compiled`, whose target and losses torch.compile takes with their
gradients; `graph`, the whole eager update as one CUDA graph. The batches lie on the device, so
replay is not measured; drawing the latents is. Stands alone, so that it also runs where JAX is
not installed.

Prints one line of JSON when it is ready, and one for each line that it reads: the seconds of an
update, of `--updates` in a row. Ends with its input.

glibc gives large freed blocks back to the system and fetches them again in every update;
MALLOC_TRIM_THRESHOLD_=-1 MALLOC_MMAP_MAX_=0 in the environment avoids that.
"""

import argparse
import copy
import json
import math
import sys
import time
from collections.abc import Callable
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


def mlp(inputs: int, hidden: list[int], outputs: int) -> nn.Sequential:
    sizes = [inputs, *hidden]
    layers = []
    for size_in, size_out in zip(sizes, sizes[1:], strict=False):
        layers += [nn.Linear(size_in, size_out), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], outputs))


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

    def __init__(self, args: argparse.Namespace, latent_size=16, beta=0.5, lr=3e-4):
        obs_size, action_size, device = args.obs_size, args.action_size, args.device
        self.actor = mlp(obs_size + latent_size, args.hidden, action_size).to(device)
        critics = [mlp(obs_size + action_size, args.hidden, 1) for _ in range(2)]
        self.critics = nn.ModuleList(critics).to(device)
        self.target_critics = copy.deepcopy(self.critics).requires_grad_(False)
        self.alpha_weight = nn.Parameter(torch.zeros((), device=device))
        how = {"fused": True, "capturable": args.variant == "graph"}
        self.actor_optimizer = torch.optim.Adam(self.actor.parameters(), lr, **how)
        self.critic_optimizer = torch.optim.Adam(self.critics.parameters(), lr, **how)
        self.alpha_optimizer = torch.optim.Adam([self.alpha_weight], 5e-3, **how)
        self.target_diversity = math.log(beta * math.sqrt(action_size))
        self.gamma, self.tau = 0.99, 0.005
        # `compiled` replaces these three.
        self.loss_of_critics, self.loss_of_actor = self.critic_loss, self.actor_loss
        self.target_of = self.td_target

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

    def critic_loss(self, batch: Batch, target: Tensor) -> Tensor:
        inputs = torch.cat([batch.obs, batch.action], dim=-1)
        return sum(F.mse_loss(q(inputs).squeeze(-1), target) for q in self.critics)

    def critic_step(self, batch: Batch, target: Tensor) -> Tensor:
        loss = self.loss_of_critics(batch, target)
        self.critic_optimizer.zero_grad()
        loss.backward()
        self.critic_optimizer.step()
        return loss.detach()

    @torch.no_grad()
    def target_step(self) -> None:
        pairs = zip(self.target_critics.parameters(), self.critics.parameters(), strict=True)
        for target, online in pairs:
            target.lerp_(online, self.tau)

    def actor_loss(self, obs: Tensor, latents: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
        """Return the actor's loss and the mean diversity."""
        actions = sample_actions(self.actor, obs, latents)
        inputs = torch.cat([obs, actions[0]], dim=-1)
        q = torch.minimum(*(q(inputs).squeeze(-1) for q in self.critics)).mean()
        reached = diversity(actions).mean()
        return -(q + alpha * reached), reached

    def actor_step(self, obs: Tensor, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Step the actor; return its loss and the mean diversity before the step."""
        self.critics.requires_grad_(False)
        loss, reached = self.loss_of_actor(obs, latents, self.alpha().detach())
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
        target = self.target_of(batch, latents.target)
        critic_loss = self.critic_step(batch, target)
        self.target_step()
        actor_loss, reached = self.actor_step(batch.obs, latents.actor)
        self.alpha_step(reached)
        losses = {"critic_loss": critic_loss, "actor_loss": actor_loss}
        return {"target": target, **losses, "diversity": reached}


def compile_parts(learner: Learner) -> None:
    """Replace what can be compiled whole; the optimizers are fused kernels already."""
    learner.target_of = torch.compile(learner.td_target)
    learner.loss_of_critics = torch.compile(learner.critic_loss)
    learner.loss_of_actor = torch.compile(learner.actor_loss)


def make_batches(count: int, args: argparse.Namespace) -> list[Batch]:
    def one() -> Batch:
        obs, next_obs = torch.randn(2, args.batch, args.obs_size, device=args.device)
        action = torch.rand(args.batch, args.action_size, device=args.device) * 2 - 1
        reward = torch.randn(args.batch, device=args.device)
        return Batch(obs, action, reward, torch.ones_like(reward), next_obs)

    return [one() for _ in range(count)]


def make_update(learner: Learner, batch: Batch, args: argparse.Namespace) -> Callable:
    """Return the update of one batch, latents drawn inside; `graph` records it on copies."""
    shape = (SAMPLES, args.batch, 16)

    def update(batch: Batch) -> None:
        draws = [torch.rand(shape, device=args.device) for _ in range(2)]
        with torch.autocast(args.device, torch.bfloat16, enabled=args.precision == "bfloat16"):
            learner.update(batch, Latents(*draws))

    if args.variant != "graph":
        return update
    fixed = Batch(*(x.clone() for x in batch))
    with torch.cuda.stream(torch.cuda.Stream()):  # Adam's state must exist before the recording
        for _ in range(3):
            update(fixed)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        update(fixed)

    def replay(batch: Batch) -> None:
        for held, new in zip(fixed, batch, strict=True):
            held.copy_(new)
        graph.replay()

    return replay


def time_updates(update: Callable, batches: list[Batch], count: int, device: str) -> float:
    """Return the seconds per update over `count` updates, on the batches in turn."""
    start = time.perf_counter()
    for k in range(count):
        update(batches[k % len(batches)])
    if device == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / count


def parser() -> argparse.ArgumentParser:
    """Make the options of what is timed."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--precision", choices=["float32", "tf32", "bfloat16"], default="float32")
    words.add_argument("--obs-size", type=int, default=27)
    words.add_argument("--action-size", type=int, default=8)
    words.add_argument("--batch", type=int, default=256)
    words.add_argument("--hidden", type=int, nargs="+", default=[256, 256])
    words.add_argument("--threads", type=int, default=1)
    words.add_argument("--updates", type=int, default=10, help="updates per figure")
    return words


def parse() -> argparse.Namespace:
    words = parser()
    words.add_argument("--variant", choices=["eager", "compiled", "graph"], default="eager")
    words.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = words.parse_args()
    if args.variant == "graph" and args.device != "cuda":
        sys.exit("a CUDA graph needs a GPU")
    if args.precision == "tf32" and args.device != "cuda":
        sys.exit("TF32 needs a GPU")
    return args


def main() -> None:
    args = parse()
    torch.set_num_threads(args.threads)
    torch.set_float32_matmul_precision("high" if args.precision == "tf32" else "highest")
    torch.manual_seed(0)
    learner, batches = Learner(args), make_batches(4, args)
    if args.variant == "compiled":
        compile_parts(learner)
    start = time.perf_counter()
    update = make_update(learner, batches[0], args)
    time_updates(update, batches, 3, args.device)  # warm up: compiler, allocator, Adam's state
    ready = {"torch": torch.__version__, "first_call": time.perf_counter() - start}
    print(json.dumps(ready | {"threads": args.threads}), flush=True)
    for _ in sys.stdin:
        seconds = time_updates(update, batches, args.updates, args.device)
        print(json.dumps({"seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
