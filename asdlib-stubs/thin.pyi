from asdlib.judge.thin import *
from asdlib.use.thinning import *
