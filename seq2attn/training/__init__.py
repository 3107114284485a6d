"""From a configuration to a run folder with trained weights."""

import sys
from types import ModuleType

# TensorBoard takes TensorFlow where it is installed, which costs seconds, fills stderr, takes hold of the GPU and may
# be broken. It looks for a module of this name first; where there is one, it makes do with what it brings itself.
sys.modules.setdefault("tensorboard.compat.notf", ModuleType("tensorboard.compat.notf"))
