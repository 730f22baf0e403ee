from asdlib.park.domain_shift import *
