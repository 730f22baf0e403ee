from asdlib.judge.metrics import *
from asdlib.judge.scorers import *
