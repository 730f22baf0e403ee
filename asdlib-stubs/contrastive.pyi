from asdlib.learn.contrastive import *
from asdlib.learn.heads import *
