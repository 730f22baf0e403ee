from asdlib.learn.pruning import *
from asdlib.learn.slimming import *
