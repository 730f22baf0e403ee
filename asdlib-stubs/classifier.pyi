from asdlib.learn.classifier import *
from asdlib.learn.heads import *
