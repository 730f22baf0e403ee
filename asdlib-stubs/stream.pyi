from asdlib.use.stream import *
from asdlib.use.track import *
