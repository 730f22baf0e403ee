from asdlib.device import *
from asdlib.learn.batches import *
from asdlib.learn.stage import *
from asdlib.learn.training import *
from asdlib.sound.clips import *
