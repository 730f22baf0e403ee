from asdlib.use.config import *
from asdlib.use.run import *
