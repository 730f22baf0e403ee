from asdlib.judge.threshold import *
from asdlib.use.thresholds import *
