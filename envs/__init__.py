"""stub"""
from envs.wrappers import batch
from envs.multigoal import make_multigoal
def make(name, **kw):
    return batch(make_multigoal(**kw), pool_size=1)
