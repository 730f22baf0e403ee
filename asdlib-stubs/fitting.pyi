from asdlib.use.fitting import *
