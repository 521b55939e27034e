"""Play a policy that drac_jax exported, with NumPy alone: Policy("policy.npz")."""

import json

import numpy as np


class Policy:
    """Maps obs [N, O] and latent [N, Z] to actions [N, A]; `about` is what is known of it."""

    def __init__(self, path):
        with np.load(path) as file:
            self.about, program = (json.loads(str(file[name])) for name in ("about", "program"))
            self.known = {int(name): file[name] for name in file.files if name.isdigit()}
        self.output, self.steps = program["output"], program["steps"]

    def draw(self, rng, n=1):
        """Draw the latents of n actions; rng: numpy.random.default_rng(seed)."""
        parts = [np.zeros((n, 0))]
        for law, low, high, size in self.about["latent"]:
            draw = getattr(rng, {"uniform": "uniform", "randint": "integers"}.get(law, "normal"))
            bounds = (low, high) if law in ("uniform", "randint") else (0, 1)
            x = draw(*bounds, (n, size))
            while law == "truncated_normal" and (out := (x < low) | (x > high)).any():
                x[out] = draw(*bounds, out.sum())
            parts.append(x)
        return np.concatenate(parts, 1).astype(np.float32)

    def __call__(self, obs, latent=None):
        values = {0: np.asarray(obs, np.float32), 1: latent, **self.known}
        for name, out, inputs, given in self.steps:
            x = [values[i] for i in inputs]
            if name == "broadcast_to":
                given = [[len(obs) if size < 0 else size for size in given[0]]]
            values[out] = getattr(np, name)(*([x] if name == "concatenate" else x), *given)
        return values[self.output]
