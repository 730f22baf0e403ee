from asdlib.park.facts import *
from asdlib.park.machines import *
from asdlib.park.rendering import *
