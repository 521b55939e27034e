"""The model of the point mazes: a sphere on two motors among boxes."""

from typing import Literal

import numpy as np

MASS = 4.18879020478639  # kg: a sphere of radius 0.1 and density 1000
RADIUS = 0.1  # of the point, m
TIMESTEP = 0.01  # s, of physics
FRAME_SKIP = {"authors": 2, "farama": 1}  # physics steps of an env step
MAX_SPEED = 5.0  # of each coordinate
# MuJoCo 3.17 adds the margins (0.002 each) of point and wall, 3.1.6 took the larger; MJX ignores
# margins between sphere and box, so the sphere carries them: the contact is then the same.
Contacts = Literal["3.17", "3.1.6"]
CONTACT_RADIUS = {"3.17": 0.104, "3.1.6": 0.102}
CONTACTS_OF: dict[str, Contacts] = {"authors": "3.1.6", "farama": "3.17"}

# Fewer Newton or line search steps than MuJoCo's 100 and 50 reach the same velocities, because
# there are two unknowns and at most three contacts.
XML = """
<mujoco>
  <compiler autolimits="true"/>
  <option timestep="{timestep}" integrator="Euler" gravity="0 0 0"
          iterations="4" ls_iterations="8"/>
  <default><geom condim="1" margin="0"/></default>
  <worldbody>
    <body name="point">
      <joint name="x" type="slide" axis="1 0 0" damping="1"/>
      <joint name="y" type="slide" axis="0 1 0" damping="1"/>
      <geom name="point" type="sphere" size="{radius}" mass="{mass}"
            contype="1" conaffinity="2"/>
    </body>
{walls}
  </worldbody>
  <actuator>
    <motor joint="x" gear="100" ctrllimited="true" ctrlrange="-1 1"/>
    <motor joint="y" gear="100" ctrllimited="true" ctrlrange="-1 1"/>
  </actuator>
</mujoco>
"""
WALL = '    <geom type="box" pos="{x} {y} 0" size="{w} {h} 1" contype="2" conaffinity="1"/>'


def model_xml(walls: np.ndarray, radius: float) -> str:
    """Write the MuJoCo model of a point among walls [W, 4]. radius: of contact, m."""
    boxes = [
        WALL.format(x=(x0 + x1) / 2, y=(y0 + y1) / 2, w=(x1 - x0) / 2, h=(y1 - y0) / 2)
        for x0, y0, x1, y1 in walls
    ]
    return XML.format(timestep=TIMESTEP, radius=radius, mass=MASS, walls="\n".join(boxes))
