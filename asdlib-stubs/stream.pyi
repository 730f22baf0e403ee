from asdlib.use.alarms import *
from asdlib.use.stream import *
from asdlib.use.track import *
