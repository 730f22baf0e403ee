from asdlib.park.sounds import *
