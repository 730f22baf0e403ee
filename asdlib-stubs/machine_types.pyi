from asdlib.park.machine_types import *
from asdlib.park.parts import *
