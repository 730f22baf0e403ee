from asdlib.learn.embedding import *
from asdlib.use.detector import *
from asdlib.use.train import *
