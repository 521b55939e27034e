"""Adversarial training of the decoder on windows of levels.

In words, a step: draw windows and latents; lower the critic's hinge loss on the windows and on what
the decoder makes of the latents; draw other latents; raise the critic's score of their segments.
- The critic sees what will be played: each place's likeliest tile, one-hot, with the gradient of
  the probabilities (straight through).
- Critic and decoder both help to read the latents off the segment, so that different latents give
  different segments (InfoGAN, arXiv 1606.03657).
- A tile that the decoder uses more often in a row than the corpus costs, a rarer one pays.
- Small logits are asked for: what is likeliest does not change, and no tile gets out of reach.
- The decoder kept is a running mean of the trained one, its batch norm then measured anew,
  and its last biases set so that each tile is as frequent as in the corpus.

Sources: hinge loss, arXiv 1805.08318; spectral normalisation, arXiv 1802.05957; the spread of the
batch as an input of the critic, arXiv 1710.10196.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from envs.mario.decoder.network import Decoder
from envs.mario.decoder_training.matmul_layers import forward, patches
from envs.mario.tiles import LATENT_SIZE, NUM_TILES, SEGMENT

CALIBRATION = 2048  # latents that the kept decoder's batch norm is measured on
SLOPE = 0.1  # of the critic's leaky ReLU
RARE = 1e-3  # added to frequencies that are divided by
FREQUENCY_DECAY = 0.98
CALIBRATION_STEPS = 100


class Settings(NamedTuple):
    """What a training may vary."""

    steps: int = 3000
    batch: int = 32
    widths: tuple[int, int, int] = (64, 32, 24)
    lr: float = 5e-4  # falls to a twentieth over the second half
    mean_decay: float = 0.995
    logit_weight: float = 0.03
    latent_weight: float = 1.0


class Critic(nn.Module):
    """Judge one-hot segments [B, 16, 16, 21] -> scores [B], higher is more like the corpus, and
    guesses of their latents [B, 20]. update_stats: whether to improve the spectral norms."""

    widths: tuple[int, int, int] = (48, 96, 128)

    @nn.compact
    def __call__(self, tiles: jax.Array, update_stats: bool = False):
        def dense(width: int, name: str, x: jax.Array) -> jax.Array:
            return nn.SpectralNorm(nn.Dense(width, name=name))(x, update_stats=update_stats)

        first, second, last = self.widths
        x = nn.leaky_relu(dense(first, "first", patches(tiles)), SLOPE)
        x = nn.leaky_relu(dense(second, "second", patches(x)), SLOPE)
        spread = jnp.sqrt(x.var(axis=0) + 1e-6).mean()
        x = x.reshape(len(x), -1)
        x = jnp.concatenate([x, jnp.broadcast_to(spread, (len(x), 1))], axis=-1)
        x = nn.leaky_relu(dense(last, "last", x), SLOPE)
        return dense(1, "score", x)[:, 0], nn.Dense(LATENT_SIZE, name="latent")(x)


class Players(NamedTuple):
    """Decoder and critic in training. frequency: [16, 21], of the decoder's tiles, running."""

    decoder: Any
    critic: Any
    mean: Any
    decoder_opt: Any
    critic_opt: Any
    frequency: jax.Array


class Gan(NamedTuple):
    """init(key) -> Players; step(players, key) -> (players, metrics); finish(players, key) ->
    variables of a `Decoder`."""

    init: Callable
    step: Callable
    finish: Callable


class Task(NamedTuple):
    """What does not change in a training. windows: [N, 16, 16] uint8 tile ids; target: [16, 21],
    the frequency of each tile in each row of them."""

    windows: jax.Array
    target: jax.Array
    critic: Critic
    optimizer: optax.GradientTransformation
    settings: Settings


def make_gan(corpus: np.ndarray, settings: Settings) -> Gan:
    """Make a training on windows. corpus: [N, 16, 16] uint8 tile ids, N >= 1."""
    decoder, critic = Decoder(settings.widths, (False, False, False)), Critic()
    target = jnp.asarray(row_frequencies(corpus))
    task = Task(jnp.asarray(corpus), target, critic, _optimizer(settings), settings)

    def init(key: jax.Array) -> Players:
        decoder_key, critic_key = jax.random.split(key)
        params = decoder.init(decoder_key, jnp.zeros((1, LATENT_SIZE)))["params"]
        judge = critic.init(critic_key, jnp.zeros((1, SEGMENT, SEGMENT, NUM_TILES)))
        opts = task.optimizer.init(params), task.optimizer.init(judge["params"])
        return Players(params, judge, params, *opts, target)

    def step(players: Players, key: jax.Array) -> tuple[Players, dict[str, jax.Array]]:
        window_key, critic_key, decoder_key = jax.random.split(key, 3)
        players, critic_metrics = improve_critic(task, players, window_key, critic_key)
        players, decoder_metrics = improve_decoder(task, players, decoder_key)
        return players, critic_metrics | decoder_metrics

    def finish(players: Players, key: jax.Array) -> dict[str, Any]:
        logits, moments = forward(players.mean, draw_latents(key, CALIBRATION))
        last = players.mean["deconv4"]
        bias = last["bias"] + balance(logits, target.mean(axis=0))
        params = {**players.mean, "deconv4": {**last, "bias": bias}}
        return {"params": params, "batch_stats": moments}

    return Gan(init, step, finish)


def improve_critic(
    task: Task, players: Players, window_key: jax.Array, latent_key: jax.Array
) -> tuple[Players, dict[str, jax.Array]]:
    """Update the critic on some windows and on segments of random latents. -> players, metrics."""
    chosen = jax.random.randint(window_key, (task.settings.batch,), 0, len(task.windows))
    real = jax.nn.one_hot(task.windows[chosen], NUM_TILES)
    latents = draw_latents(latent_key, task.settings.batch)
    params = players.critic["params"]
    (_, (norms, metrics)), grads = jax.value_and_grad(critic_loss, has_aux=True)(
        params, players, task.critic, real, latents, task.settings
    )
    params, opt = _apply(task.optimizer, grads, players.critic_opt, params)
    critic = {"params": params, "batch_stats": norms}
    return players._replace(critic=critic, critic_opt=opt), metrics


def improve_decoder(
    task: Task, players: Players, key: jax.Array
) -> tuple[Players, dict[str, jax.Array]]:
    """Update the decoder on random latents, and count its tiles. -> players, metrics."""
    settings = task.settings
    latents = draw_latents(key, settings.batch)
    price = (players.frequency - task.target) / (task.target + RARE)
    (_, (frequency, metrics)), grads = jax.value_and_grad(decoder_loss, has_aux=True)(
        players.decoder, players.critic, task.critic, latents, price, settings
    )
    params, opt = _apply(task.optimizer, grads, players.decoder_opt, players.decoder)
    improved = players._replace(
        decoder=params,
        decoder_opt=opt,
        mean=optax.incremental_update(params, players.mean, 1.0 - settings.mean_decay),
        frequency=optax.incremental_update(frequency, players.frequency, 1.0 - FREQUENCY_DECAY),
    )
    return improved, metrics


def critic_loss(
    params: Any,
    players: Players,
    critic: Critic,
    real: jax.Array,
    latents: jax.Array,
    settings: Settings,
) -> tuple[jax.Array, tuple[Any, dict[str, jax.Array]]]:
    """Compute the hinge loss and the error of the latents read off the decoder's segments.

    params: of the critic; real: [B, 16, 16, 21] one-hot; latents: [B, 20]. -> loss, (spectral
    norms, metrics).
    """
    fake, _ = generate(players.decoder, latents)
    variables = {**players.critic, "params": params}
    (real_score, _), norms = critic.apply(variables, real, True, mutable=["batch_stats"])
    fake_score, guess = critic.apply({**norms, "params": params}, fake)
    hinge = nn.relu(1.0 - real_score).mean() + nn.relu(1.0 + fake_score).mean()
    error = jnp.square(guess - latents).mean()
    metrics = {"critic/loss": hinge, "critic/latent_error": error}
    return hinge + settings.latent_weight * error, (norms["batch_stats"], metrics)


def decoder_loss(
    params: Any,
    judge: Any,
    critic: Critic,
    latents: jax.Array,
    price: jax.Array,
    settings: Settings,
) -> tuple[jax.Array, tuple[jax.Array, dict[str, jax.Array]]]:
    """Compute minus the critic's score, the error of the latents, and the price of its tiles.

    params: of the decoder; latents: [B, 20]; price: [16, 21], of a tile in a row. -> loss,
    (frequencies [16, 21], metrics).
    """
    fake, logits = generate(params, latents)
    score, guess = critic.apply(judge, fake)
    frequency = fake.mean(axis=(0, 2))
    error = jnp.square(guess - latents).mean()
    loss = -score.mean() + settings.latent_weight * error + (price * frequency).sum()
    loss += settings.logit_weight * jnp.square(logits).mean()
    metrics = {"decoder/score": score.mean(), "decoder/price": jnp.abs(price).mean()}
    return loss, (frequency, metrics)


def generate(params: Any, latents: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Make one-hot segments [B, 16, 16, 21] with the gradient of the probabilities, and logits."""
    logits, _ = forward(params, latents)
    soft = nn.softmax(logits)
    hard = jax.nn.one_hot(jnp.argmax(logits, axis=-1), NUM_TILES)
    return hard + soft - jax.lax.stop_gradient(soft), logits


def balance(logits: jax.Array, target: jax.Array) -> jax.Array:
    """Find what to add to the logits so that each tile is the likeliest one as often as wished.

    logits: [..., 21]; target: [21] frequencies. -> [21], within -5 and 5.
    """
    logits = logits.reshape(-1, NUM_TILES)
    rare = 3.0 / len(logits)

    def step(i: jax.Array, shift: jax.Array) -> jax.Array:
        tiles = jnp.argmax(logits + shift, axis=-1)
        found = jnp.zeros(NUM_TILES).at[tiles].add(1.0) / len(logits)
        wanted = jnp.log((target + rare) / (found + rare))
        rate = 0.3 * (1.0 - i / CALIBRATION_STEPS)
        return jnp.clip(shift + rate * jnp.clip(wanted, -1.0, 1.0), -5.0, 5.0)

    return jax.lax.fori_loop(0, CALIBRATION_STEPS, step, jnp.zeros(NUM_TILES))


def draw_latents(key: jax.Array, count: int) -> jax.Array:
    """Draw latents uniformly from the box of actions. -> [count, 20] in [-1, 1]."""
    return jax.random.uniform(key, (count, LATENT_SIZE), minval=-1.0, maxval=1.0)


def row_frequencies(tiles: np.ndarray) -> np.ndarray:
    """Measure how often a tile is in a row. tiles: [N, 16, 16] ids. -> [16, 21] float32."""
    rows = np.moveaxis(tiles, 1, 0).reshape(SEGMENT, -1)
    counts = [np.bincount(row, minlength=NUM_TILES) for row in rows]
    return np.array(counts, np.float32) / rows.shape[1]


def _optimizer(settings: Settings) -> optax.GradientTransformation:
    half = max(settings.steps // 2, 1)
    schedule = optax.linear_schedule(settings.lr, settings.lr / 20.0, half, half)
    return optax.adam(schedule, b1=0.0, b2=0.99)


def _apply(
    optimizer: optax.GradientTransformation, grads: Any, opt: Any, params: Any
) -> tuple[Any, Any]:

    updates, opt = optimizer.update(grads, opt)
    return optax.apply_updates(params, updates), opt
